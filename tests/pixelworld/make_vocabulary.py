"""Writes vocabulary.json, our words' token ids: python -m pixelworld.make_vocabulary VOCAB_JSON

CLIP's vocabulary is the host's comfy/sd1_tokenizer/vocab.json.
"""
import json
import sys
from pathlib import Path

from .captions import all_words

EXTRA_WORDS = ("sks", "small", "happy", "drawing", "an", "is", "sitting", "big", "my", "teapot")
"""Words no picture was drawn for; they stand for the rest of the language."""


def main() -> None:
    vocabulary = json.loads(Path(sys.argv[1]).read_text())
    table = {word: [vocabulary[word + "</w>"]] for word in sorted({*all_words(), *EXTRA_WORDS})}
    target = Path(__file__).with_name("vocabulary.json")
    target.write_text(json.dumps(table, indent=0) + "\n")


if __name__ == "__main__":
    main()
