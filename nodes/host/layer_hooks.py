"""Where a model call meets an edit: hooks on a cross-attention layer's own modules, for the time of the call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn

from .call_hooks import call_hooks
from .model_call import CallEdit
from .own_text import ALL, OwnText, check_one_reading


@contextmanager
def editing(layers: Mapping[str, nn.Module], call: CallEdit) -> Iterator[None]:
    """Hooks on every cross-attention layer for one model call."""
    with call_hooks() as stack:
        for name, layer in layers.items():
            if call.as_patch is None:
                seen = layer.attention.register_forward_pre_hook(_hander(call.text, name), with_kwargs=True)
                stack.callback(seen.remove)
            if call.as_patch is None and call.keys is not None:
                for part, projection in (("k", layer.to_k), ("v", layer.to_v)):
                    stack.callback(projection.register_forward_pre_hook(_reader(call, name, part)).remove)
            if call.as_patch is not None:
                for part, projection in (("keys", layer.to_k), ("values", layer.to_v)):
                    stack.callback(projection.register_forward_pre_hook(_text_reader(call, name, part)).remove)
            if name not in call.edit.value_residuals:
                continue
            stack.callback(layer.to_v.register_forward_hook(_changer(call, name)).remove)
            if call.masks:
                for handle in _regional_hooks(name, layer, call):
                    stack.callback(handle.remove)
        yield
        call.text.check_read()


def _hander(text: OwnText, name: str):
    def hand(_module, args, kwargs):
        context = args[1] if len(args) > 1 else kwargs.get("context")
        if isinstance(context, Tensor):
            text.hands(name, context)

    return hand


def _reader(call: CallEdit, name: str, part: str):
    def read(_module, args):
        rows = call.rows(name, args[0])
        if part == "v":
            call.value_rows[name] = rows
        return None if rows is None else (call.projection_input(part, args[0], rows), *args[1:])

    return read


def _text_reader(call: CallEdit, name: str, part: str):
    return lambda _module, args: (call.reads_text(name, part, args[0]), *args[1:])


def _changer(call: CallEdit, name: str):
    def change(_module, args, output):
        rows = call.rows(name, args[0]) if call.as_patch is None and call.keys is None else ALL
        rows = call.value_rows.pop(name, rows)
        return output if rows is None else call.value_output(name, output, rows)

    return change


def _regional_hooks(name: str, layer: nn.Module, call: CallEdit):
    """``to_q`` shows a layer's queries, ``to_v`` its texts, and ``to_out`` its output, whoever computes the attention
    between them.
    """
    queries, texts = [], []

    def keep_queries(_module, args):
        if call.regional is None:
            queries.append(args)
            call.reads(args[0].shape[1])

    def count_texts(_module, args):
        if call.regional is None:
            texts.append(args[0].shape)

    def add_shares(_module, _args, output):
        if call.regional is not None:
            return output
        if call.shares:
            check_one_reading(name, len(queries), len(texts), call.carried)
        output = call.attention_output(layer, queries[-1:], output)
        queries.clear()
        texts.clear()
        return output

    return (
        layer.to_q.register_forward_pre_hook(keep_queries),
        layer.to_v.register_forward_pre_hook(count_texts),
        layer.to_out.register_forward_hook(add_shares),
    )
