"""How the pack's CLIP reads prompts, on the host's own tokenizers and text encoder."""

from __future__ import annotations

import pytest
import torch

CONCEPT = "*"


@pytest.fixture(scope="module")
def read(pack, loaded, pack_concept):
    """``read(text)``: token ids of the CLIP that knows ``teddy_t`` (bear) and ``my cup`` (coffee cup)."""
    clip = loaded[1]
    teddy, cup = pack_concept("teddy_t", "bear", 1), pack_concept("my cup", "coffee cup", 2)
    local = pack.ops.KeyLocking.LOCAL
    known = pack.clip.clip_with_concept(clip, teddy, 1.0, local)
    known = pack.clip.clip_with_concept(known, cup, 1.0, local)

    def tokens(text: str) -> list:
        chunks = known.tokenize(text)["l"]
        return [(CONCEPT if torch.is_tensor(token) else token, weight) for chunk in chunks for token, weight in chunk]

    tokens.clip, tokens.concepts, tokens.plain = known, (teddy, cup), clip
    return tokens


def plain_tokens(clip, text: str, concept_token: str) -> list:
    """Ids of ``text`` by the host's own tokenizer, with one word's token marked as the concept's."""
    marked = clip.tokenize(concept_token)["l"][0][1][0]
    return [
        (CONCEPT if token == marked else token, weight) for chunk in clip.tokenize(text)["l"] for token, weight in chunk
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a {} on a beach",
        "{}",
        "a ({}:1.3), sitting",
        "(a red {} and a {}:0.8)",
        "{}'s hat",
        "a {}-like thing.",
        "[{}] \\({}\\)",
        ", ".join(["very long prompt"] * 30) + ", a {} at the end, and more " + "words " * 60,
    ],
)
def test_the_word_reads_as_the_superclass_with_its_last_token_replaced(read, text):
    """Weights, brackets, possessives and long prompts work with the concept word as with any other."""
    assert read(text.replace("{}", "teddy_t")) == plain_tokens(read.plain, text.replace("{}", "bear"), "bear")


@pytest.mark.parametrize("text", ["a TEDDY_T here", "a Teddy_T here"])
def test_the_word_is_found_in_any_case(read, text):
    """The concept is drawn however its word is capitalised."""
    assert read(text) == read("a teddy_t here")


@pytest.mark.parametrize("text", ["teddy_ts", "xteddy_t", "teddy_t2", "teddy _t", "my_teddy_t", "mycup", "my cups"])
def test_the_word_is_not_found_inside_other_words(read, text):
    """A longer word that holds the concept's is read as it was."""
    assert CONCEPT not in [token for token, _ in read(text)]


def test_the_first_tokens_of_a_long_superclass_stay(read):
    """A superclass of several words keeps its meaning around the concept."""
    assert read("a my   cup here") == plain_tokens(read.plain, "a coffee cup here", "cup")


def test_two_concepts_in_one_prompt_are_two_vectors(read):
    """Each of two concepts in a prompt is read as itself."""
    chunk = read.clip.tokenize("a teddy_t beside my cup")["l"][0]
    vectors = [token.as_subclass(torch.Tensor) for token, _ in chunk if torch.is_tensor(token)]
    expected = [concept.word_embeddings["l"] for concept in read.concepts]
    assert all(torch.equal(vector, learned) for vector, learned in zip(vectors, expected, strict=True))


def test_the_original_clip_does_not_know_the_word(read):
    """Branches of a workflow without the Apply node read prompts as before."""
    tokens = [token for chunk in read.plain.tokenize("teddy_t")["l"] for token, _ in chunk]
    assert not any(map(torch.is_tensor, tokens))


def test_a_missing_embedding_beside_the_concept_reads_as_by_the_host(read):
    """Textual inversion embeddings in the same prompt are read as ComfyUI reads them."""
    assert read("a teddy_t embedding:nothing there") == plain_tokens(
        read.plain, "a bear embedding:nothing there", "bear"
    )


def test_encodings_remember_their_concepts_and_others_stay_plain(pack, read):
    """Prompts that name a concept say so to the model, and others are the host's own, to the bit."""
    encode = lambda text: read.clip.encode_from_tokens(read.clip.tokenize(text))  # noqa: E731
    held = encode("a teddy_t beside my cup")
    assert held.words == {"teddy_t", "my cup"}
    plain = encode("a bear on a beach")
    assert type(plain) is torch.Tensor
    assert torch.equal(plain, read.plain.encode_from_tokens(read.plain.tokenize("a bear on a beach")))


def test_global_locking_carries_the_superclass_prompt_to_the_bit(pack, loaded, pack_concept):
    """Global key locking takes its keys from the prompt that the user would write with the superclass."""
    clip = loaded[1]
    concept = pack_concept("teddy_t", "teddy bear", 1)
    known = pack.clip.clip_with_concept(clip, concept, 1.0, pack.ops.KeyLocking.GLOBAL_PURE)
    held = known.encode_from_tokens(known.tokenize("a (teddy_t:1.2) on a beach"))
    plain = clip.encode_from_tokens(clip.tokenize("a (teddy bear:1.2) on a beach"))
    assert torch.equal(held.superclass, plain)
    assert not torch.equal(pack.encoded_prompt.plain(held), plain)
    doubled = torch.cat((plain, 2 * held), 1)
    assert torch.equal(doubled.superclass, torch.cat((plain, 2 * plain), 1)) and doubled.words == {"teddy_t"}


def test_keys_of_a_global_locking_leave_other_concepts_words_in_the_prompt(pack, loaded, pack_concept):
    """A concept with its own keys beside one with the superclass prompt's would else lose its keys to the other."""
    lockings = {"teddy_t": pack.ops.KeyLocking.GLOBAL_PURE, "mug_m": pack.ops.KeyLocking.OFF}
    concepts = [pack_concept("teddy_t", "bear", 1), pack_concept("mug_m", "cup", 2)]
    clip = loaded[1]
    for concept in concepts:
        clip = pack.clip.clip_with_concept(clip, concept, 1.0, lockings[concept.word])
    terms = [pack.ops.EditTerm(concept, key_locking=lockings[concept.word]) for concept in concepts]
    prompt = clip.encode_from_tokens(clip.tokenize("a teddy_t and a mug_m"))
    encodings = pack.encoded_prompt.plain(prompt)
    reading, edit = pack.conditioning.Reading(), pack.ops.JointEdit.of(terms)
    (context,) = pack.conditioning.edited_contexts(edit, {"cross_attn": prompt}, encodings, reading)
    mug = pack.clip.clip_with_concept(loaded[1], concepts[1], 1.0, lockings["mug_m"])
    bear = pack.encoded_prompt.plain(mug.encode_from_tokens(mug.tokenize("a bear and a mug_m")))
    assert torch.equal(context.keys, bear) and not torch.equal(prompt.superclass, bear)


def test_memory_of_concepts_ends_with_what_is_no_prompt_any_more(pack, read):
    """Numbers that other nodes compute from a prompt are plain numbers."""
    held = read.clip.encode_from_tokens(read.clip.tokenize("a teddy_t"))
    for other in (torch.zeros_like(held), held.mean(), torch.nn.functional.linear(held, torch.ones(5, held.shape[-1]))):
        assert type(other) is torch.Tensor


@pytest.mark.parametrize("taken", ["ＴＥＤＤＹ＿Ｔ", "teddy\u200d_t", "my\u3000 CUP"])
def test_another_spelling_of_a_word_that_is_taken_is_refused(pack, read, pack_concept, taken):
    """Full-width letters and characters that show nothing do not make another word."""
    with pytest.raises(ValueError, match="stands for two concepts"):
        pack.clip.clip_with_concept(read.clip, pack_concept(taken, "dog", 9), 1.0, pack.ops.KeyLocking.LOCAL)


@pytest.mark.parametrize(
    ("word", "text", "parts"),
    [
        ("小猫", "一只小猫在森林里", ("一只", "在森林里")),
        ("小猫", "a photo of 小猫", ("a photo of", "")),
        ("teddy_t", "我的teddy_t在海边", ("我的", "在海边")),
        ("teddy_t", "teddy_t\u2019s hat", ("", "\u2019s hat")),
        ("แมว", "รูปแมวดำ", ("รูป", "ดำ")),
        ("고양이", "숲속의 고양이가 있다", ("숲속의", "가 있다")),
    ],
)
def test_the_text_around_a_word_reads_as_by_the_host(pack, loaded, pack_concept, word, text, parts):
    """A word is found beside letters of scripts without spaces, and the rest of the prompt stays as it is."""
    clip = loaded[1]
    known = pack.clip.clip_with_concept(clip, pack_concept(word, "bear"), 1.0, pack.ops.KeyLocking.LOCAL)
    ids = [CONCEPT if torch.is_tensor(token) else token for token, _ in known.tokenize(text)["l"][0]]
    before, after = (pack.vocabularies.plain_tokens(pack.clip.vocabulary(clip, "l"), part) for part in parts)
    assert ids[1 : len(before) + len(after) + 2] == [*before, CONCEPT, *after]
    without = text.replace(word, "")
    assert known.tokenize(without) == clip.tokenize(without)


def test_a_word_that_is_taken_is_refused(pack, read, pack_concept):
    """Two concepts of one word are refused where the second is applied."""
    with pytest.raises(ValueError, match="stands for two concepts"):
        pack.clip.clip_with_concept(read.clip, pack_concept("Teddy_T", "dog", 9), 1.0, pack.ops.KeyLocking.LOCAL)


def test_another_training_of_a_word_that_is_taken_is_refused(pack, loaded, pack_concept):
    """Of two concepts of one word and superclass the second would be drawn with the first one's word."""
    clip = loaded[1]
    for seed in (1, 1):
        clip = pack.clip.clip_with_concept(clip, pack_concept("teddy_t", "bear", seed), 1.0, pack.ops.KeyLocking.LOCAL)
    with pytest.raises(ValueError, match="stands for two concepts"):
        pack.clip.clip_with_concept(clip, pack_concept("teddy_t", "bear", 9), 1.0, pack.ops.KeyLocking.LOCAL)


def test_a_concept_for_other_text_encoders_is_refused(pack, loaded, pack_concept):
    """Who connects the CLIP of another model family reads which one is needed."""
    concept = pack_concept("teddy_t", "bear", 1, "sdxl")
    with pytest.raises(ValueError, match="text encoders clip_g and clip_l of SDXL; this CLIP has clip_l"):
        pack.clip.clip_with_concept(loaded[1], concept, 1.0, pack.ops.KeyLocking.LOCAL)


@pytest.mark.parametrize("strengths", [(1.0, 1.0), (0.0, 1.0), (1.0, 0.0)])
def test_one_clip_reads_a_concept_of_two_models(pack, loaded, pack_concept, strengths):
    """Wan 2.2's experts get an Apply node each, and their one CLIP goes through both: it reads the word once."""
    concept, local = pack_concept("teddy_t", "bear"), pack.ops.KeyLocking.LOCAL
    clip, twice = loaded[1], loaded[1]
    for strength in strengths:
        twice = pack.clip.clip_with_concept(twice, concept, strength, local)
    once = pack.clip.clip_with_concept(clip, concept, 1.0, local)
    first, second = (each.encode_from_tokens(each.tokenize("a teddy_t at sea")) for each in (once, twice))
    assert torch.equal(pack.encoded_prompt.plain(first), pack.encoded_prompt.plain(second))
    assert torch.equal(first.superclass, second.superclass) and second.words == {"teddy_t"}


def test_one_clip_refuses_two_models_whose_keys_read_other_prompts(pack, loaded, pack_concept):
    """The keys of one model would be those of the other's prompt, and nothing would say so."""
    concept, ways = pack_concept("teddy_t", "bear"), pack.ops.KeyLocking
    known = pack.clip.clip_with_concept(loaded[1], concept, 1.0, ways.LOCAL)
    with pytest.raises(ValueError, match="global key locking in both Apply nodes, or in neither"):
        pack.clip.clip_with_concept(known, concept, 1.0, ways.GLOBAL_PURE)
