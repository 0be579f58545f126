"""The JSON in a stranger's file: what is not plain is refused, each with a sentence of its own."""

from __future__ import annotations

import pytest

from builders.broken_files import assert_refused, with_header

CASES = {
    "no JSON": (with_header(lambda h: "{,}"), "header that is not JSON"),
    "nested": (with_header(lambda h: '{"a":' + "[" * 30_000), "header that is not JSON"),
    "list": (with_header(lambda h: "[1, 2]  "), "header that is not JSON"),
    "twice": (with_header(lambda h: '{"a":1,"a":2}'), "has the name 'a' twice in its header"),
    "long integer": (with_header(lambda h: '{"a":' + "9" * 5000 + "}"), "an integer of 5000 digits"),
    "float": (with_header(lambda h: '{"a":1.5}'), "has the number '1.5' in its header"),
    "NaN": (with_header(lambda h: '{"a":NaN}'), "has the number 'NaN' in its header"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_header_that_is_not_plain_json_is_refused(case, tmp_path):
    """A damaged or hostile header is named; it neither crashes ComfyUI nor fills its memory."""
    assert_refused(*CASES[case], tmp_path)
