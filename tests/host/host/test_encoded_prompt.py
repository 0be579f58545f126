"""A prompt remembers its concepts through whatever a node does to encodings; nothing else is ever taken for one."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

WIDTH = 6


@pytest.fixture
def prompt(pack):
    """Two rows of five tokens: the first names a concept at token 2, the second none."""
    superclass = torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(0))
    encodings = superclass.clone()
    encodings[0, 2:] += 1
    naming = pack.naming.Naming("teddy_t")
    return pack.encoded_prompt.EncodedPrompt.of(encodings, [naming], encodings[0, 0].clone(), superclass)


def rows_with_concepts(pack, prompt) -> list[bool]:
    return pack.conditioning.rows_with_concepts(prompt).tolist()


WEIGHTS = torch.linspace(0.5, 1.5, 5)
KEEPING = {
    "weights": lambda z: z * WEIGHTS[None, :, None],
    "A1111": lambda z: z * (z.mean() / (z * 1.2).mean()),
    "distribution": lambda z: (z.std() / (2 * z).std()) * (z - z.mean()) + z.mean(),
    "norm": lambda z: z / torch.linalg.norm(z),
    "einsum": lambda z: torch.einsum("btd,t->btd", z, WEIGHTS),
    "where": lambda z: torch.where(WEIGHTS[None, :, None] > 1, z, 2 * z),
    "masked": lambda z: z.masked_fill(WEIGHTS[None, :, None] > 1.4, 0.0),
    "unbind and stack": lambda z: torch.stack([torch.stack(list(row)) for row in z]),
    "iteration": lambda z: torch.stack([row for row in z]),
    "permuted": lambda z: z.permute(0, 2, 1).contiguous().permute(0, 2, 1),
    "reshaped": lambda z: z.reshape(-1).reshape(z.shape),
    "chunks": lambda z: torch.cat(z.chunk(2, dim=1), 1),
    "dropout": lambda z: torch.nn.functional.dropout(z, 0.5),
    "half": lambda z: z.half().float(),
    "deep copy": copy.deepcopy,
    "in place": lambda z: z.clone().mul_(2).add_(1),
    "augmented": lambda z: _augmented(z.clone()),
    "token by token": lambda z: _token_by_token(z.clone()),
    "into an empty tensor": lambda z: _filled(torch.empty_like(z), z),
    "into a plain tensor": lambda z: torch.zeros(2, 5, WIDTH).copy_(z),
    "out": lambda z: torch.mul(z, 2, out=torch.empty(2, 5, WIDTH)),
}


def _augmented(z):
    z *= 2
    z += 1
    return z


def _token_by_token(z):
    empty = z[1]
    for i in range(len(z)):
        for j in range(len(z[i])):
            z[i][j] = (z[i][j] - empty[j]) * 1.3 + empty[j]
    return z


def _filled(plain, z):
    plain[:] = z
    return plain


@pytest.mark.parametrize("change", KEEPING.values(), ids=KEEPING)
def test_arithmetic_on_encodings_does_not_lose_the_concept(pack, prompt, change):
    """The look stays, rows without the word stay free of it, and numbers are those of a plain tensor."""
    torch.manual_seed(1)
    changed = change(prompt)
    assert changed.words == {"teddy_t"} and rows_with_concepts(pack, changed) == [True, False]
    torch.manual_seed(1)
    expected = change(pack.encoded_prompt.plain(prompt))
    after = torch.rand(1)
    assert torch.equal(pack.encoded_prompt.plain(changed), expected)
    torch.manual_seed(1)
    change(prompt)
    assert torch.equal(torch.rand(1), after)


def test_the_start_token_is_known_after_its_encoding_changed(pack, prompt):
    """The start token stays unedited though another node has moved its encoding."""
    moved = (prompt - prompt.mean()) * 2
    assert torch.equal(moved.start, pack.encoded_prompt.plain(moved)[0, 0])
    joined = torch.cat((torch.zeros(2, 3, WIDTH), moved), 1)
    assert torch.equal(joined.start, moved.start)


def test_mixing_unites_what_prompts_hold(pack, prompt):
    """A mix of two prompts draws the concepts of both."""
    other = pack.encoded_prompt.EncodedPrompt.of(
        prompt.superclass + 3, [pack.naming.Naming("mug_m")], None, prompt.superclass
    )
    assert (prompt + other).words == {"teddy_t", "mug_m"}
    prompt[:, 1:] = other[:, 1:]
    assert prompt.words == {"teddy_t", "mug_m"} and rows_with_concepts(pack, prompt) == [True, True]


def test_a_copy_is_written_into_alone(pack, prompt):
    """ComfyUI keeps encodings: a node that changes its copy would change the prompt of the next run."""
    superclass, copied = prompt.superclass.clone(), copy.deepcopy(prompt)
    copied *= 3
    assert torch.equal(prompt.superclass, superclass) and torch.equal(copied.superclass, 3 * superclass)


def test_a_prompt_that_was_blanked_holds_nothing(pack, prompt):
    """A zeroed prompt, as ConditioningZeroOut makes it, draws no concept."""
    blank = prompt * 0
    assert rows_with_concepts(pack, blank) == [False, False]
    assert type(torch.zeros_like(prompt)) is torch.Tensor


@pytest.mark.parametrize(
    "other",
    [
        lambda z: z.mean(),
        lambda z: torch.randn_like(z),
        lambda z: z.new_zeros(2, 5, WIDTH),
        lambda z: z > 0,
        lambda z: z.argmax(-1),
        lambda z: torch.nn.functional.linear(z, torch.ones(3, WIDTH)),
        lambda z: pickle.loads(pickle.dumps(z)),
    ],
)
def test_what_is_no_prompt_is_plain(prompt, other):
    """Numbers that other nodes compute from a prompt are plain numbers."""
    assert type(other(prompt)) is torch.Tensor


def test_a_model_that_reads_a_prompt_without_its_concept_is_told_of(pack, prompt, caplog):
    """Who wires the wrong MODEL learns it from the log."""
    (naming,) = prompt.namings
    for _ in range(3):
        torch.nn.functional.linear(prompt, torch.ones(3, WIDTH))
    (record,) = caplog.records
    assert "'teddy_t', but a model that does not have it reads that prompt" in record.message
    assert naming.said
