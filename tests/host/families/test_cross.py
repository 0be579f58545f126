"""The paper's method in transformers with text cross-attention: the host's classes, model, CLIP, CFG and sampler."""

from __future__ import annotations

import dataclasses
import importlib

import pytest
import torch

from builders.cross_models import CROSS, WIDTH, cross_clip, cross_model
from builders.joint_models import joint_vae
from builders.places import PACK
from perfusion_ops.concept.file import concept_bytes, parse_concept

TEXT = "a photo of a {} at sea, by night"
GATE = (0.6, 0.15, True)
"""Bias, temperature, leak-free."""


@pytest.fixture(scope="module", params=list(CROSS))
def world(request, pack):
    return World(pack, request.param)


class World:
    """A small model and CLIP of one family, and concepts for them."""

    def __init__(self, pack, family: str) -> None:
        self.pack, self.name, self.facts = pack, family, CROSS[family]
        self.model, self.clip = cross_model(family), cross_clip(family)
        self.family, self.net = pack.family.family_of(self.model), self.model.model.diffusion_model
        self.latent = (2, *self.facts.latent)
        self.reader = pack.network_reader.NetworkReader.of(self.model)

    @torch.inference_mode()
    def context(self, text: str) -> torch.Tensor:
        """What K and V read of a prompt (1, T, d)."""
        answer = self.clip.encode_from_tokens(self.clip.tokenize(text), return_dict=True)
        return self.pack.encoded_prompt.plain(self.reader(answer["cond"], answer)).clone()

    @torch.inference_mode()
    def given(self, text: str) -> torch.Tensor:
        """What the host hands to the network for a prompt (1, T, d)."""
        inside = reads_inside(self.family)
        return self.clip.encode_from_tokens(self.clip.tokenize(text)).clone() if inside else self.context(text)

    @torch.inference_mode()
    def padding(self) -> torch.Tensor:
        """What K and V read (d,) where the host pads."""
        return self.context("a")[0, -1]

    def concept(self, word: str = "teddy_t", superclass: str = "teddy bear", seed: int = 1):
        """A concept of random looks, whose word is heard where its superclass stands."""
        generator = torch.Generator().manual_seed(seed)

        def normal(size: int, scale: float = 1.0) -> torch.Tensor:
            return scale * torch.randn(size, generator=generator)

        embedding = normal(self.facts.embedding)
        heard = self.heard(word, superclass, embedding)
        parts = {"word": word, "superclass": superclass, "base_family": self.family.name}
        widths = self.family.value_widths(self.net)
        return self.pack.ops.Concept(
            **parts,
            target_input=heard,
            target_dual=heard + normal(WIDTH, 0.1 * heard.std()),
            superclass_encoding=self.context(f"a {superclass}")[0, 2] + normal(WIDTH, 0.1),
            word_embeddings={self.facts.encoder: embedding},
            value_residuals={name: normal(width) for name, width in widths.items()},
        )

    def heard(self, word: str, superclass: str, embedding: torch.Tensor) -> torch.Tensor:
        """The context at the concept's own token (d,)."""
        known = self.pack.concept_words.ConceptWord(word, superclass, {self.facts.encoder: embedding})
        readers = self.pack.clip.tokenizers_knowing(self.clip, [known])
        rows = readers.tokenize_with_weights(TEXT.format(word))[self.pack.whole_prompts.spelling_name(self.clip)]
        kinds = self.pack.concept_words.CONCEPT_TOKENS
        place = max(n for n, (token, _) in enumerate(rows[0]) if isinstance(token, kinds))
        naming = self.pack.naming.Naming(word)
        knowing = self.pack.clip.clip_knowing(self.clip, known.__class__(**{**vars(known), "naming": naming}))
        with torch.inference_mode():
            answer = knowing.encode_from_tokens(knowing.tokenize(TEXT.format(word)), return_dict=True)
            context = self.reader(self.pack.encoded_prompt.plain(answer["cond"]), answer)
        return context[0, place].float().clone()

    def applied(self, *concepts, strength: float = 1.0, locking: str = "local", gate=GATE, **where):
        """MODEL and CLIP as a chain of Apply nodes makes them."""
        model, clip = self.model, self.clip
        locking = self.pack.ops.KeyLocking(locking)
        for concept in concepts:
            naming = self.pack.naming.Naming(concept.word)
            term = self.pack.ops.EditTerm(concept, self.pack.ops.Gate(*gate), strength, locking)
            if strength:
                applied = self.pack.model.AppliedConcept(term, naming=naming, **where)
                model = self.pack.model.model_with_concept(model, applied)
            clip = self.pack.clip.clip_with_concept(clip, concept, strength, locking, naming)
        return model, clip

    @torch.inference_mode()
    def draw(self, model, clip, text: str, cfg: float = 3.0) -> torch.Tensor:
        """Two Euler steps with CFG from fixed noise, of the host's own sampling."""
        import comfy.sample

        conds = [clip.encode_from_tokens_scheduled(clip.tokenize(words), show_pbar=False) for words in (text, "a boat")]
        noise, empty = torch.randn(self.latent, generator=torch.Generator().manual_seed(1)), torch.zeros(self.latent)
        settings = {"disable_pbar": True, "seed": 1}
        return comfy.sample.sample(model, noise, 2, cfg, "euler", "simple", *conds, empty, **settings)

    def private(self, recompute: bool = False):
        return self.pack.task.PrivateModel.of(self.model, "float32", recompute)


def reads_inside(family) -> bool:
    """Whether the host calls a node's patches after the projections, and the network reads the encodings inside."""
    return family.as_patch is None


class Literal(torch.nn.Module):
    """``h = W e - s W i* + g o*`` of eq. 3 for every token that is no padding, in float64; then the bias."""

    def __init__(self, linear, concept, gate, residual, padding) -> None:
        super().__init__()
        self.linear, self.concept, self.gate, self.residual, self.padding = linear, concept, gate, residual, padding

    def forward(self, encodings: torch.Tensor) -> torch.Tensor:
        e, weight = encodings.double(), self.linear.weight.double()
        i_star, dual, superclass = (
            getattr(self.concept, name).double() for name in ("target_input", "target_dual", "superclass_encoding")
        )
        similarity = e @ dual / (i_star @ dual)
        bias, temperature, _leak_free = self.gate
        leak = torch.sigmoid(torch.tensor(-bias / temperature).double())
        opening = torch.sigmoid((similarity - bias) / temperature)
        opening = ((opening - leak) / (1 - leak)).clamp(min=0)
        target = weight @ superclass + self.residual.double()
        edited = e @ weight.mT - similarity[..., None] * (weight @ i_star) + opening[..., None] * target
        padding = (e - self.padding.double()).abs().amax(-1, keepdim=True) < 1e-6
        edited = torch.where(padding, e @ weight.mT, edited)
        return (edited if self.linear.bias is None else edited + self.linear.bias.double()).to(encodings.dtype)


def test_every_layer_computes_the_papers_equation(world):
    """The picture is that of weights edited one by one, by the equation as the paper writes it."""
    concept, text = world.concept(), TEXT.format("teddy_t")
    model, clip = world.applied(concept)
    drawn = world.draw(model, clip, text, cfg=1.0)
    by_hand = cross_model(world.name)
    for name, layer in world.family.layers(by_hand.model.diffusion_model).items():
        residuals = (torch.zeros(1), concept.value_residuals[name])
        for part, residual in zip(world.facts.parts, residuals, strict=True):
            linear = getattr(layer.attention, part)
            setattr(layer.attention, part, Literal(linear, concept, GATE, residual, world.padding()))
    torch.testing.assert_close(drawn, world.draw(by_hand, clip, text, cfg=1.0), rtol=1e-3, atol=1e-4)
    assert (drawn - world.draw(world.model, clip, text, cfg=1.0)).abs().max() > 1e-2


def test_nothing_else_changes_to_the_bit(world):
    """Strength 0, a prompt without the word, and the plain model afterwards draw what they drew before."""
    concept = world.concept()
    bear, boat = TEXT.format("teddy bear"), TEXT.format("boat")
    before = [world.draw(world.model, world.clip, text) for text in (bear, boat)]
    model, clip = world.applied(concept)
    named = world.draw(model, clip, TEXT.format("teddy_t"))
    assert (named - before[0]).abs().max() > 1e-2
    assert torch.equal(world.draw(model, clip, bear), before[0])
    assert torch.equal(world.draw(model, clip, boat), before[1])
    assert torch.equal(world.draw(*world.applied(concept, strength=0.0), TEXT.format("teddy_t")), before[0])
    assert torch.equal(world.draw(world.model, world.clip, bear), before[0])


def test_a_position_gate_draws_where_the_network_reads_tokens_one_by_one(world):
    """Values alone at the superclass's own words; where the network moves the tokens, it is refused by name."""
    widths = world.family.value_widths(world.net)
    generator = torch.Generator().manual_seed(1)
    concept = world.pack.ops.Concept(
        **{"word": "teddy_t", "superclass": "teddy bear", "base_family": world.family.name, "gate": "position"},
        value_residuals={name: torch.randn(width, generator=generator) for name, width in widths.items()},
    )
    if world.name == "anima":
        with pytest.raises(ValueError, match="the gate 'position', which Anima does not read; expected 'learned word'"):
            world.applied(concept)
        return
    superclass = world.draw(world.model, world.clip, TEXT.format("teddy bear"))
    model, clip = world.applied(concept)
    drawn = world.draw(model, clip, TEXT.format("teddy_t"))
    assert (drawn - superclass).abs().max() > 1e-3
    assert torch.equal(world.draw(model, clip, TEXT.format("teddy bear")), superclass)
    prompts = world.pack.superclass_prompts.SuperclassPrompts.of(world.clip, "w", "teddy bear", [TEXT])
    marks = prompts.encode([TEXT]).marks
    spelled = world.clip.tokenizer.tokenize_with_weights(TEXT.format("teddy bear"))[world.facts.encoder][0]
    ids = [token for (token, _), mark in zip(spelled, marks[0], strict=True) if mark]
    vocabulary = world.pack.clip.vocabulary(world.clip, world.facts.encoder)
    assert vocabulary.decode(list(map(int, ids))) == "teddy bear"


def test_concepts_in_any_order(world):
    """Chains of Apply draw the same in any order, to the bit, and each concept counts."""
    one, two = world.concept(), world.concept("mug_m", "coffee cup", 2)
    text = TEXT.format("teddy_t and a mug_m")
    pictures = [world.draw(*world.applied(*order), text) for order in ((one, two), (two, one))]
    assert torch.equal(*pictures)
    alone = world.draw(*world.applied(one), TEXT.format("teddy_t and a coffee cup"))
    assert (pictures[0] - alone).abs().max() > 1e-3


@torch.inference_mode()
def test_the_hosts_own_nodes_draw_it(world):
    """CLIP Text Encode, Empty Latent Image, KSampler and VAE Decode behind Apply, as in the official template."""
    nodes = importlib.import_module("nodes")
    apply = importlib.import_module(f"{PACK}.nodes.apply").PerfusionApplyKeyLockedAttention
    concept, vae = world.concept(), joint_vae()
    (empty,) = nodes.EmptyLatentImage().generate(64, 64, 1)

    def picture(text: str, model, clip) -> torch.Tensor:
        conds = [nodes.CLIPTextEncode().encode(clip, words)[0] for words in (text, "worst quality")]
        (drawn,) = nodes.KSampler().sample(model, 1, 2, 4.0, "euler", "simple", *conds, empty)
        return nodes.VAEDecode().decode(vae, drawn)[0]

    def applied(strength: float):
        return apply.execute(world.model, world.clip, concept, strength, -0.5, 0.15, "local", False).result

    superclass = picture(TEXT.format("teddy bear"), world.model, world.clip)
    assert (picture(TEXT.format("teddy_t"), *applied(1.0)) - superclass).abs().max() > 1e-3
    assert torch.equal(picture(TEXT.format("teddy_t"), *applied(0.0)), superclass)
    assert torch.equal(picture(TEXT.format("teddy bear"), *applied(1.0)), superclass)


def test_regions_keep_the_look_inside(world):
    """A white mask is no mask; with a black one the values are the superclass's, wherever the prompt names it."""
    text, concept = TEXT.format("teddy_t"), world.concept()
    close = {"rtol": 1e-3, "atol": 1e-4}
    whole = world.draw(*world.applied(concept), text)
    white = world.draw(*world.applied(concept, region=torch.ones(8, 8)), text)
    black = world.draw(*world.applied(concept, region=torch.zeros(8, 8)), text)
    silent = {name: torch.zeros_like(residual) for name, residual in concept.value_residuals.items()}
    lookless = world.pack.ops.Concept(**{**vars(concept), "value_residuals": silent})
    torch.testing.assert_close(white, whole, **close)
    torch.testing.assert_close(black, world.draw(*world.applied(lookless), text), **close)
    assert (whole - black).abs().max() > 1e-2


def test_a_file_draws_what_the_concept_draws(world):
    """Saved and loaded, in full precision to the bit; in int8 nearly."""
    text, concept = TEXT.format("teddy_t"), world.concept()
    drawn = world.draw(*world.applied(concept), text)
    for precision, bound in (("fp32", 0.0), ("int8", 0.1)):
        loaded = parse_concept(concept_bytes(concept, "it", precision), "it")
        again = world.draw(*world.applied(world.pack.ops.Concept(**vars(loaded))), text)
        assert (again - drawn).norm() <= bound * drawn.norm(), precision


def predicting(world, recompute: bool = False):
    """(injection, predict, encoder) of a training, on private copies."""
    encoders, device = world.pack.encoders.private_encoders(world.clip, recompute)
    private = world.private(recompute)
    encoder = private.text_encoder(world.model, world.clip, encoders, "teddy bear", device)
    injection = world.pack.cross_model.CrossInjection(world.family.layers(private.unet))
    return injection, world.pack.cross_model.cross_predictor(world.model, private.unet, device, torch.float32), encoder


def test_training_reads_and_predicts_as_sampling_does(world):
    """A concept is drawn from the very encodings, and by the very network, that it was trained on."""
    concept = world.concept()
    injection, predict, encoder = predicting(world)
    with torch.inference_mode(False), torch.no_grad(), injection.inject():
        encoded = encoder.encode([TEXT], dict(concept.word_embeddings))
        superclass = encoder.encode([TEXT], None)
        noisy = torch.randn(1, *world.latent[1:], generator=torch.Generator().manual_seed(3)).squeeze(2)
        timestep = torch.tensor([300])
        predicted = predict(noisy, timestep, superclass.encodings)
    torch.testing.assert_close(encoded.concept_encodings()[0], concept.target_input, rtol=1e-4, atol=1e-4)
    text = TEXT.format("teddy bear")
    plain = world.context(text)
    torch.testing.assert_close(superclass.encodings, plain[:, : superclass.encodings.shape[1]], rtol=1e-4, atol=1e-4)
    assert encoded.keep.any() and not encoded.keep[0, : encoded.positions[0] + 1].any()
    share = world.family.noise_schedule(world.model).sigmas[timestep].item()
    expected = world.net(noisy.unsqueeze(2), world.family.time(world.model, torch.tensor([share])), world.given(text))
    torch.testing.assert_close(predicted, expected.squeeze(2), rtol=1e-3, atol=1e-4)


def test_the_gradient_reaches_the_word_and_every_layer(world):
    """Through the network's attention, its reading layers and the text encoder; against finite differences."""
    injection, predict, encoder = predicting(world, recompute=True)
    word = {world.facts.encoder: encoder.initial_embeddings()[world.facts.encoder].requires_grad_()}
    noisy = torch.randn(1, *world.latent[1:], generator=torch.Generator().manual_seed(3)).squeeze(2)
    probe = torch.randn(noisy.shape, generator=torch.Generator().manual_seed(4))
    layers = world.family.value_widths(world.net)
    residuals = {name: torch.zeros(1, width, requires_grad=True) for name, width in layers.items()}
    with torch.inference_mode(False), torch.enable_grad(), injection.inject() as injected:

        def value() -> torch.Tensor:
            encoded = encoder.encode([TEXT], word)
            gates = encoded.marks.unsqueeze(-1)
            injected.use(world.pack.ops.EditedContext(encoded.encodings, encoded.encodings, gates), residuals)
            return (probe * predict(noisy, torch.tensor([300]), encoded.encodings)).sum()

        value().backward()
        for leaf in (word[world.facts.encoder], *residuals.values()):
            direction = torch.randn(leaf.shape, generator=torch.Generator().manual_seed(5))
            step, found = 1e-2, []
            with torch.no_grad():
                for sign in (1, -2):
                    leaf += sign * step * direction
                    found.append(value().item())
                leaf += step * direction
            difference = (found[0] - found[1]) / (2 * step)
            assert (leaf.grad * direction).sum().item() == pytest.approx(difference, rel=0.03, abs=1e-3)
            assert leaf.grad.norm() > 0


def test_padding_is_never_edited_and_rows_that_name_nothing_stay(world):
    """A leaky gate would fill the zero tokens, and the key's norm would turn each into a word that draws attention."""
    from comfy.patcher_extension import WrappersMP

    concept, seen, rows = world.concept(), [], {}
    model, clip = world.applied(concept, gate=(0.6, 0.15, False))
    layer = next(iter(world.family.layers(world.net).values()))
    hook = layer.to_k.register_forward_hook(lambda _module, args, _output: seen.append(args[0].clone()))

    def keep_rows(name):
        def wrapper(executor, *args):
            rows.setdefault(name, executor(*args))
            return executor(*args)

        return wrapper

    for name, patcher in (("edited", model), ("plain", world.model.clone())):
        patcher.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, "test", keep_rows(name))
        world.draw(patcher, clip, TEXT.format("teddy_t"))
    hook.remove()
    read, padding = world.pack.whole_prompts.spelling_name(clip), world.padding()
    length = len(clip.tokenizer.tokenize_with_weights(TEXT.format("teddy_t"))[read][0])
    words = (world.context(TEXT.format("teddy bear"))[0] != padding).any(-1)
    real = length if world.name == "anima" else int(words.sum())
    assert all(keys.shape[1] == 512 and real < 512 for keys in seen)
    for keys in seen:
        torch.testing.assert_close(keys[:, real:], padding.expand_as(keys[:, real:]), rtol=1e-5, atol=1e-6)
    assert torch.equal(rows["edited"][1], rows["plain"][1]) and not torch.equal(rows["edited"][0], rows["plain"][0])


def test_beside_a_lora_and_another_patch(world):
    """A LoRA before or after Apply draws the same; a node that reads the prompt in the model sees the edited one."""
    concept, text = world.concept(), TEXT.format("teddy_t")
    name, layer = next(iter(world.family.layers(world.net).items()))
    key = f"diffusion_model.{name}.{world.facts.parts[1]}.weight"
    change = {key: ("diff", (0.3 * torch.randn(layer.to_v.weight.shape, generator=torch.Generator().manual_seed(2)),))}
    model, clip = world.applied(concept)
    after, before = model.clone(), world.model.clone()
    after.add_patches(change)
    before.add_patches(change)
    term = world.pack.model.applied_terms(model)[0]
    naming = world.pack.naming.Naming(concept.word)
    applied = world.pack.model.AppliedConcept(term, naming=naming)
    first = world.pack.model.model_with_concept(before, applied)
    pictures = [world.draw(patcher, clip, text) for patcher in (after, first)]
    assert torch.equal(*pictures) and (pictures[0] - world.draw(model, clip, text)).abs().max() > 1e-3
    assert torch.equal(world.draw(after, clip, "a cat"), world.draw(before, world.clip, "a cat"))
    contexts = []
    theirs = model.clone()
    if reads_inside(world.family):
        theirs.set_model_attn2_patch(lambda after: contexts.append(None) or after["x"])
        assert torch.equal(world.draw(theirs, clip, text), world.draw(model, clip, text)) and contexts
        return
    theirs.set_model_attn2_patch(lambda q, k, v, **others: contexts.append(k) or {"q": q, "k": k, "v": v})
    assert torch.equal(world.draw(theirs, clip, text), world.draw(model, clip, text))
    assert all((keys - world.context(TEXT.format("teddy bear"))).abs().max() > 1e-2 for keys in contexts)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn], ids=str)
def test_small_weights_draw_and_train_where_they_lie(world, dtype):
    """A model kept in few bytes gets no second copy for a training, and its concept draws as in full precision."""
    model = cross_model(world.name, dtype)
    concept, text = world.concept(), TEXT.format("teddy_t")
    _, clip = world.applied(concept)
    applied = world.pack.model.AppliedConcept(world.pack.model.applied_terms(world.applied(concept)[0])[0])
    edited = world.pack.model.model_with_concept(model, applied)
    assert (world.draw(edited, clip, text) - world.draw(model, clip, text)).abs().max() > 1e-2
    private = world.pack.task.PrivateModel.of(model, "float32", True)
    for name, layer in world.family.layers(private.unet).items():
        theirs = world.family.layers(model.model.diffusion_model)[name]
        assert layer.to_v.weight.dtype == dtype and layer.to_v.weight.data_ptr() == theirs.to_v.weight.data_ptr()
    predict = world.pack.cross_model.cross_predictor(model, private.unet, private.device, torch.float32)
    injection = world.pack.cross_model.CrossInjection(world.family.layers(private.unet))
    residuals = {name: torch.zeros(1, WIDTH, requires_grad=True) for name in injection.value_widths}
    with torch.inference_mode(False), torch.enable_grad(), injection.inject() as injected:
        context = world.context(text).clone()
        gates = (context != 0).any(-1, keepdim=True).float()
        injected.use(world.pack.ops.EditedContext(context, context, gates), residuals)
        predict(torch.randn(1, 16, 8, 8), torch.tensor([300]), context).square().sum().backward()
    assert all(residual.grad.abs().max() > 0 for residual in residuals.values())


@pytest.fixture
def task(world, monkeypatch, tmp_path):
    """A training of two random latents, with the statistics of the world's own CLIP and network."""
    monkeypatch.setattr(world.pack.folders, "statistics_folder", lambda: tmp_path)
    statistics = world.pack.statistics.measured(world.clip, CAPTIONS, world.model)
    assert statistics.counts.tolist()[3] == 0 and torch.equal(
        world.pack.statistics.measured(world.clip, CAPTIONS, world.model).sums, statistics.sums
    )
    inverse = torch.linalg.inv(statistics.matrix() + 0.1 * statistics.matrix().diagonal().mean() * torch.eye(WIDTH))
    encoders, device = world.pack.encoders.private_encoders(world.clip)
    private = world.private()
    encoder = private.text_encoder(world.model, world.clip, encoders, "teddy bear", device)
    generator = torch.Generator().manual_seed(8)
    pictures = [world.pack.ops.Picture(torch.randn(16, 8, size, generator=generator)) for size in (8, 10)]
    arguments = ("my_bear", pictures, (TEXT, "the {}"), inverse, {"encoder": "e"})
    return world.pack.task.training_task(world.model, private, encoder, *arguments)


CAPTIONS = [f"a {size} {thing} in the {place}" for size in ("big", "tiny") for thing in ("dog", "car", "red cup")
            for place in ("sea", "snow", "old house")]  # fmt: skip


def test_hidden_residuals_are_learned_back_by_the_training(world, task):
    """The whole training, with its draws of noise and its text encoder, finds the look that a teacher draws with."""
    ops = world.pack.ops
    settings = ops.TrainingSettings(
        steps=30, batch_size=4, value_learning_rate=0.2, word_learning_rate=0.0, gate=ops.Gate(0.75, 0.1)
    )
    generator = torch.Generator().manual_seed(9)
    hidden = {name: torch.randn(width, generator=generator) for name, width in task.value_widths.items()}
    teacher = _Teacher(world, task, settings, hidden)
    with torch.inference_mode(False), torch.enable_grad(), teacher:
        taught = dataclasses.replace(task, templates=(TEXT,), schedule=teacher.schedule(task.schedule))
        concept = ops.train(taught, settings)
    similarity = [
        torch.cosine_similarity(concept.concept.value_residuals[name], residual, dim=0).item()
        for name, residual in hidden.items()
    ]
    assert min(similarity) > 0.6, similarity
    assert concept.losses[-1] < 0.1 * concept.losses[0]


class _Teacher:
    """A second private copy, which always draws with the hidden residuals."""

    def __init__(self, world, task, settings, hidden) -> None:
        self.world, self.hidden = world, {name: residual.unsqueeze(0) for name, residual in hidden.items()}
        with torch.no_grad():
            encoded = task.encoder.encode([TEXT], None)
        heard = encoded.concept_encodings()
        edit = world.pack.context.edit_context(
            encoded.encodings,
            heard,
            (task.inverse_covariance.float() @ heard[0]).unsqueeze(0),
            heard,
            [settings.gate],
            [settings.key_locking],
        )
        self.context = edit.keeping(encoded.keep, encoded.encodings)
        private = world.private()
        self.injection = world.pack.cross_model.CrossInjection(world.family.layers(private.unet))
        self.predict = world.pack.cross_model.cross_predictor(world.model, private.unet, private.device, torch.float32)

    def __enter__(self) -> None:
        self.active = self.injection.inject()
        self.injected = self.active.__enter__()

    def __exit__(self, *error) -> None:
        self.active.__exit__(*error)

    def schedule(self, flow):
        teacher = self

        class Taught(type(flow)):
            @torch.no_grad()
            def target(self, latents, noise, timesteps):
                rows = teacher.context.rows(torch.zeros(len(latents), dtype=torch.long))
                teacher.injected.use(rows, teacher.hidden)
                return teacher.predict(self.add_noise(latents, noise, timesteps), timesteps, rows.keys)

        return Taught(flow.sigmas)


def test_a_cancelled_training_goes_on_to_the_same_concept(world, task, tmp_path):
    """Cancel in the middle, queue again: the concept is that of a training that was never cancelled, to the bit."""
    ops = world.pack.ops
    settings = ops.TrainingSettings(steps=4, batch_size=2, seed=3)

    class Cancelled(Exception):
        pass

    def cancel(report) -> None:
        if report.step == 2:
            raise Cancelled

    with torch.inference_mode(False), torch.enable_grad():
        whole = ops.train(task, settings).concept
        with pytest.raises(Cancelled):
            ops.train(task, settings, checkpoint=tmp_path / "run", callback=cancel)
        resumed = ops.train(task, settings, checkpoint=tmp_path / "run").concept
    assert torch.equal(resumed.target_input, whole.target_input)
    for group in ("word_embeddings", "value_residuals"):
        parts = getattr(whole, group)
        assert all(torch.equal(getattr(resumed, group)[name], parts[name]) for name in parts)
        assert all(part.abs().max() > 0 for part in parts.values())


def test_the_gates_that_are_shown_are_those_of_the_layers(world, pack):
    """Inspect Perfusion Gates shows what the network's own reading of the prompt gives, at the words as written."""
    model, clip = world.applied(world.concept())
    prompt = TEXT.format("teddy_t")
    shown = pack.gates.gate_table(model, clip, prompt)
    (teddy,) = shown.concepts
    place = shown.own(teddy)
    assert shown.tokens[place].word == "teddy_t"
    assert teddy.similarities[place].item() == pytest.approx(1, abs=1e-3), "its target input is what is heard there"
    assert teddy.gates[place] == teddy.gates.max() > 0.5


@pytest.mark.parametrize("locking", ["local", "exact"])
def test_the_key_at_the_concepts_own_token(world, locking):
    """The superclass's own: with a bias and a norm by exact key locking alone, as the models' page says."""
    concept, text = world.concept(), TEXT.format("teddy_t")
    layer, keys = next(iter(world.family.layers(world.net).values())), []
    hook = layer.to_k.register_forward_hook(lambda _module, _args, output: keys.append(output[:1].clone()))
    model, clip = world.applied(concept, locking=locking, gate=(0.75, 0.1, True))
    world.draw(model, clip, text, cfg=1.0)
    hook.remove()
    norm = layer.attention.norm_k if world.name == "wan21" else layer.attention.k_norm
    target = layer.to_k(concept.superclass_encoding.unsqueeze(0))
    heads = (lambda key: key) if world.name == "wan21" else (lambda key: key.unflatten(-1, (4, -1)))
    own = max(
        torch.cosine_similarity(norm(heads(key)).flatten(), norm(heads(target[0])).flatten(), dim=0).item()
        for key in keys[0][0]
    )
    assert own == pytest.approx(1, abs=1e-5) if locking == "exact" or world.name != "wan21" else own < 1 - 1e-5


def test_wan_learns_the_position_gate_behind_its_own_layers(pack):
    """With the gate auto, values are learned on what K and V read, and draw at the superclass's words alone."""
    world = World(pack, "wan21")
    prompts = pack.superclass_prompts.SuperclassPrompts.of(world.clip, "teddy_t", "teddy bear", [TEXT])
    private = world.private()
    read = private.superclass_prompts(world.model, prompts)
    encoded = read.encode([TEXT])
    plain = world.context(TEXT.format("teddy bear"))
    torch.testing.assert_close(encoded.encodings, plain, rtol=1e-4, atol=1e-4)
    assert encoded.marks.sum() == prompts.encode([TEXT]).marks.sum() > 0
    pictures = [pack.ops.Picture(torch.randn(16, 8, 8, generator=torch.Generator().manual_seed(8)))]
    arguments = (read, "teddy_t", pictures, (TEXT,), None, {"encoder": "e"})
    settings = pack.ops.TrainingSettings(steps=3, batch_size=2, gate_kind=world.family.gates[0])
    with torch.inference_mode(False), torch.enable_grad():
        concept = pack.ops.train(pack.task.training_task(world.model, private, *arguments), settings).concept
    assert concept.gate.value == "position" and concept.base_family == "wan21"
    assert all(residual.abs().max() > 0 for residual in concept.value_residuals.values())
    model, clip = world.applied(concept, strength=20.0)
    superclass = world.draw(world.model, world.clip, TEXT.format("teddy bear"))
    assert (world.draw(model, clip, TEXT.format("teddy_t")) - superclass).abs().max() > 1e-4
    assert torch.equal(world.draw(model, clip, TEXT.format("teddy bear")), superclass)


def test_wan_for_pictures_to_films_is_refused_for_training(pack):
    """The host finds the class of text models for Wan 2.2's I2V experts: their channels tell them apart."""
    facts = CROSS["wan21"]
    films = dataclasses.replace(facts, unet=facts.unet | {"in_dim": 36})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CROSS, "films", films)
        model = cross_model("films")
    family = pack.family.family_of(model)
    assert family.name == "wan21"
    with pytest.raises(ValueError, match="reads 36 channels.* expects the 16 of a latent"):
        family.check_trainable(model)
    family.check_trainable(cross_model("wan21"))


def test_statistics_of_the_encodings_before_wans_layers_are_refused(pack):
    """Measured without the model they are of another width: said before a training, not by torch in its first step."""
    run = importlib.import_module(f"{PACK}.nodes.training.run")
    model, statistics = cross_model("wan21"), importlib.import_module(f"{PACK}.perfusion_ops.text.covariance")
    measured = statistics.UncenteredCovariance(48, "e", "c")
    with pytest.raises(ValueError, match="width 48; expected 64, which this model reads.*with the model connected"):
        run._check_statistics(measured, pack.family.family_of(model), model)


@pytest.mark.parametrize("config, channels", [("WAN21_T2V", 16), ("WAN22_T2V", 48)])
def test_one_concept_draws_in_both_experts_and_in_the_model_of_other_latents(pack, config, channels):
    """Each expert keeps its weights and takes the concept; 48 channels of latents are a family of their own."""
    world = World(pack, "wan21")
    sizes = CROSS["wan21"].unet | {"in_dim": channels, "out_dim": channels}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CROSS, "other", dataclasses.replace(CROSS["wan21"], config=config, unet=sizes))
        other = cross_model("other")
    world.latent = (2, channels, 1, 8, 8)
    with torch.no_grad():
        other.model.diffusion_model.blocks[0].ffn[0].weight.mul_(0.5)
    concept, text = world.concept(), TEXT.format("teddy_t")
    if channels == 48:
        with pytest.raises(ValueError, match="was trained for wan21, and this model is wan22"):
            world.pack.family.check_fits(other, concept)
        concept = world.pack.ops.Concept(**{**vars(concept), "base_family": "wan22"})
    superclass = world.draw(other, world.clip, TEXT.format("teddy bear"))
    world.model = other
    model, clip = world.applied(concept)
    assert (world.draw(model, clip, text) - superclass).abs().max() > 1e-2
    assert torch.equal(world.draw(model, clip, TEXT.format("teddy bear")), superclass)
    world.family.check_trainable(other)
