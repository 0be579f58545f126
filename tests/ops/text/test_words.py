"""Which places of a prompt are a concept word."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfusion_ops.text.words import find_words, fold_word

INVISIBLE = "\u200c\u200d\u2060\ufeff\ufe0f\u00ad\u200e"


def found(text: str, *words: str) -> list[str]:
    return [text[start:end] for start, end, _ in find_words(text, words)]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a photo of 小猫", "小猫"),
        ("一只小猫在森林里", "小猫"),
        ("我的teddy_t在海边", "teddy_t"),
        ("３匹のteddy_tと犬", "teddy_t"),
        ("森のねこです", "ねこ"),
        ("赤いネコの絵", "ネコ"),
        ("ｶﾜｲｲﾈｺﾀﾞ", "ﾈｺ"),
        ("숲속의 고양이가 있다", "고양이"),
        ("귀여운teddy_t를", "teddy_t"),
        ("รูปแมวดำ", "แมว"),
        ("ຮູບແມວດຳ", "ແມວ"),
        ("រូបឆ្មាខ្មៅ", "ឆ្មា"),
        ("ကြောင်မည်း", "ကြောင်"),
        ("བྱི་ལ་ནག་པོ", "བྱི་ལ"),
        ("une photo de teddy_t, ici", "teddy_t"),
        ("teddy_t's hat", "teddy_t"),
        ("teddy_t\u2019s hat", "teddy_t"),
        ("teddy_t\u02bcs hat", "teddy_t"),
        ("l\u2019ours_t dort", "ours_t"),
        ("teddy_t-like", "teddy_t"),
        ("un-teddy_t\u2010like", "teddy_t"),
        ("teddy_t\u2122", "teddy_t"),
        ("🧸teddy_t🧸", "teddy_t"),
        ("a 🧸!", "🧸"),
        ("ein кот_к.", "кот_к"),
        ("قطة_ق، هنا", "قطة_ق"),
        ("यह बिल्ली है", "बिल्ली"),
        ("זה חתול_ח.", "חתול_ח"),
        ("小猫_在", "小猫_"),
        ("x\u200bteddy_t\u200by", "teddy_t"),
    ],
)
def test_a_word_is_found_where_its_script_lets_it_stand(text, word):
    """A concept word works in every script, beside what stands next to a word there."""
    assert found(text, word) == [word]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("teddy_ts", "teddy_t"),
        ("teddy_t2", "teddy_t"),
        ("teddy_t²", "teddy_t"),
        ("my_teddy_t", "teddy_t"),
        ("my_小猫", "小猫"),
        ("小猫_t", "小猫"),
        ("小猫＿t", "小猫"),
        ("concatenate", "cat"),
        ("caté", "cat"),
        ("cate\u0301", "cate"),
        ("cat\u0301", "cat"),
        ("teddy_t\u200ds", "teddy_t"),
        ("котёнок", "кот"),
        ("котя", "кот"),
        ("γάτας", "γάτα"),
        ("قطتي", "قطت"),
        ("گربه\u200cها", "گربه"),
        ("חתולים", "חתול"),
        ("कि", "क"),
        ("बिल्लियाँ", "बिल्लि"),
        ("teddyкот", "teddy"),
        ("👩\u200d🎨", "👩"),
        ("👍🏽", "👍"),
        ("ﬁsh", "f"),
        ("teddy _t", "teddy_t"),
        ("mycup", "my cup"),
        ("my\u200bcup", "my cup"),
        ("my cups", "my cup"),
        ("l \u00b4ours", "l\u00b4ours"),
        ("x\u200b\u0301cat", "cat"),
    ],
)
def test_a_word_is_not_found_inside_another(text, word):
    """A longer word that only begins like the concept's is not edited."""
    assert found(text, word) == []


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("TEDDY_T", "teddy_t"),
        ("ｔｅｄｄｙ＿ｔ", "teddy_t"),
        ("cafe\u0301", "café"),
        ("café", "cafe\u0301"),
        ("ｶﾞﾗｽ", "ガラス"),
        (unicodedata.normalize("NFD", "고양이"), "고양이"),
        ("STRASSE", "straße"),
        ("straße", "strasse"),
        ("ΟΔΟΣ", "οδος"),
        ("ﬁsh", "fish"),
        ("İSTANBUL", "istanbul"),
        ("ISTANBUL", "ıstanbul"),
        ("\u03b1\u0345\u0301x", "\u03b1\u0301\u0345x"),
        ("㎒_x", "mhz_x"),
        ("my \t\u00a0\u3000 cup", "my cup"),
        ("my\ncup", "my  cup"),
        ("l\u2019ours", "l'ours"),
        ("x\u2011ray", "x-ray"),
        ("teddy\u00ad_t", "teddy_t"),
        ("小\u200b猫", "小猫"),
        ("小猫\ufe0f", "小猫"),
        ("❤\ufe0f", "❤"),
        ("teddy_t\u200f", "teddy_t"),
    ],
)
def test_all_spellings_of_a_word_are_that_word(text, word):
    """A concept word works however its letters are typed or encoded."""
    assert fold_word(text) == fold_word(word)
    assert found(f"a {text}, here", word) == [text]


def test_places_count_in_the_text_as_it_was_written():
    """The concept is put where it was written, and nothing beside it is cut."""
    text = "\ufeffGroße Ｃａｔ_c und ﬁne cat_c"
    assert [text[start:end] for start, end, _ in find_words(text, ["cat_c"])] == ["Ｃａｔ_c", "cat_c"]


def test_the_longest_word_at_a_place_wins_and_a_shorter_one_where_it_does_not_fit():
    """Two concepts of which one word begins like the other are both found."""
    assert found("my cat and my cats", "my", "my cat", "cat") == ["my cat", "my"]
    assert found("小猫咪和小猫", "小猫", "小猫咪") == ["小猫咪", "小猫"]


@pytest.mark.parametrize("nothing", ["", "  ", *INVISIBLE, "\u200b", INVISIBLE, "\u3164", "\ufe0f \u200d"])
def test_a_word_that_shows_nothing_is_nowhere(nothing):
    """An invisible word does not edit every prompt."""
    assert fold_word(nothing) == ""
    assert find_words(f"a {nothing} b", [nothing]) == []


texts = st.text(
    st.sampled_from("aA_1é́ßſİıﬁ ’'-,小猫ね고แ\u0e33кक\u093fق🧸\u3000") | st.sampled_from(INVISIBLE + "\u200b")
)
plain_texts = st.text(st.sampled_from("abXY_12 .-'\n"), max_size=40)
plain_words = st.lists(st.text(st.sampled_from("abXY_1"), min_size=1, max_size=3), min_size=1, max_size=3)


@given(texts, st.lists(texts, max_size=4))
def test_what_is_found_is_spelled_like_its_word_and_does_not_overlap(text, words):
    """Whatever the prompt, what is edited is the concept's word."""
    position = 0
    for start, end, word in find_words(text, words):
        assert position <= start < end <= len(text)
        assert re.sub(" +", " ", fold_word(text[start:end])) == re.sub(" +", " ", fold_word(word)) != ""
        position = end


@given(plain_texts, plain_words)
def test_in_plain_latin_a_word_ends_where_letters_digits_and_underscores_do(text, words):
    """In plain English prompts words end where everyone expects."""
    longest_first = sorted(map(re.escape, words), key=len, reverse=True)
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(longest_first)})(?!\w)", re.IGNORECASE)
    assert found(text, *words) == pattern.findall(text)


@given(st.sampled_from(["teddy_t", "小猫", "고양이", "café", "แมว", "बिल्ली", "кот"]), st.data())
def test_characters_that_show_nothing_change_nothing_inside_a_word(word, data):
    """Text that was copied with invisible characters in it still names the concept."""
    letters = unicodedata.normalize(data.draw(st.sampled_from(["NFC", "NFD"])), word)
    written = letters[0] + "".join(data.draw(st.text(INVISIBLE, max_size=2)) + letter for letter in letters[1:])
    assert found(f"a {written} there", word) == [written]


@given(texts, st.sampled_from(["小猫", "ねこ", "고양이", "แมว"]))
def test_a_word_of_a_script_without_spaces_is_found_beside_anything_but_an_underscore(text, word):
    """In Chinese, Japanese, Korean and Thai the concept needs no spaces around it."""
    beside = found(f"{text.strip('_ ')}x{word}犬", word)
    assert beside[-1:] == [word]
