"""Language models in two places: both shapes, every kind of block, at every cut."""

import pytest
import torch
import torch.nn.functional as F
import transformers
from tests.unit.bank.split_pair import Played, noted, relative, started, whole_gradient

from coterie.bank.operations import operations_of, operations_of_sides
from coterie.bank.sides import places
from coterie.bank.whole import bank_for
from coterie.core.errors import UserError
from coterie.core.work import Fit
from coterie.models.decoder_parts import DecoderParts
from coterie.models.methods.full import Full
from coterie.models.parts import portions_of
from coterie.models.targets import layout_of

SHAPE = {
    "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 32,
}  # fmt: skip
KINDS = ("gpt2", "llama", "mistral", "qwen2")


def network(kind):
    torch.manual_seed(KINDS.index(kind))
    if kind == "gpt2":
        config = transformers.GPT2Config(vocab_size=40, n_embd=16, n_layer=3, n_head=2, n_positions=32)
        made = transformers.GPT2LMHeadModel._from_config(config, attn_implementation="eager")
    else:
        name = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2"}[kind]
        more = {"sliding_window": 4} if kind == "mistral" else {}
        config = getattr(transformers, f"{name}Config")(**SHAPE, **more)
        made = getattr(transformers, f"{name}ForCausalLM")._from_config(config, attn_implementation="eager")
    for parameter in made.parameters():
        parameter.data.mul_(1.5)
    return made.double().eval().requires_grad_(False)


class Words:
    """What a bank needs of a language model."""

    device = "cpu"

    def __init__(self, kind):
        self.network, self.digest = network(kind), kind

    def draw(self, prepared, batch, drop, generator):
        n = len(prepared["tokens"])
        order = torch.cat([torch.randperm(n, generator=generator) for _ in range(-(-batch // n))])[:batch]
        count = prepared["count"][order]
        return {"tokens": prepared["tokens"][order], "count": count, "share": 1 / count.double()}

    def losses(self, rows):
        target = rows["tokens"][:, 1:]
        logits = self.network(input_ids=rows["tokens"][:, :-1], use_cache=False).logits
        nats = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none").view_as(target)
        counts = torch.arange(target.shape[1]) < rows["count"][:, None]
        return torch.where(counts, nats, nats.new_zeros(())).sum(1) * rows["share"]

    def parts(self, cut, shape):
        return DecoderParts(self.network, self.losses, cut, shape)


def documents(n=5, context=12):
    tokens = torch.randint(40, (n, context + 1), generator=torch.Generator().manual_seed(2))
    return {"tokens": tokens, "count": torch.tensor([context] * (n - 1) + [5])}


def layout_for(model, method):
    if method == "full":  # of embeddings and heads that are one only those of the U-shape can be trained
        return Full(r"^(?!.*(wte|embed_tokens|lm_head))").layout(model)
    return layout_of(model.network, model.digest, 2, 2.0, r"[qkvo]_proj|gate_proj|down_proj", {})


CASES = [(kind, "full" if kind == "gpt2" else "lora") for kind in KINDS] + [("llama", "full")]


@pytest.mark.parametrize("shape", ["u", "v"])
@pytest.mark.parametrize("cut", [1, 2])
@pytest.mark.parametrize(("kind", "method"), CASES)
def test_gradients_and_ten_steps_are_those_of_the_whole_model(monkeypatch, kind, method, cut, shape):
    """algorithms 16.6, in float64."""
    from coterie.bank.fit import FitJob, fit

    model = Words(kind)
    layout = layout_for(model, method)
    bank, start, rows = bank_for(model, layout, 1), started(layout), documents()
    settings = Fit(steps=10, batch=2, rate=1e-3, clip=0.0)
    found = noted(monkeypatch)
    played = Played(bank, shape, cut, start, settings, rows, 7)
    batch = model.draw(rows, 2, 0.1, torch.Generator().manual_seed(7))
    played.step()
    wanted = whole_gradient(bank, start, batch)
    both = torch.zeros_like(wanted)
    for who, portion in (("AtClient", played.portions.client), ("AtServer", played.portions.server)):
        assert found[who].norm() > 0
        both[places(layout, portion)] = found[who]
    assert relative(both, wanted) < 1e-10
    split = Played(bank, shape, cut, start, settings, rows, 7).train(10)
    (whole,) = fit(bank, [FitJob("c", start, settings, rows, 7)])
    assert torch.allclose(split.row, whole.adapter.row, rtol=1e-10, atol=1e-12)
    bank.close()


def test_no_word_leaves_a_client_in_the_u_shape_and_only_those_to_be_foretold_in_the_other():
    model = Words("llama")
    layout = layout_for(model, "lora")
    bank, rows = bank_for(model, layout, 1), documents()
    for shape, handed in (("u", {"h", "live"}), ("v", {"h", "live", "tokens", "count", "share"})):
        played = Played(bank, shape, 1, started(layout), Fit(steps=1, batch=5, clip=0.0), rows, 7)
        played.step()
        h1 = played.handed[2][2]
        assert set(h1) == handed
        assert h1["live"] == ["h"]
        assert tuple(h1["h"].shape) == (5, 12, 16)
        if shape == "v":
            assert not h1["tokens"][:, 0].any()
    bank.close()


def test_what_cannot_be_cut_is_one_line():
    model = Words("gpt2")
    with pytest.raises(UserError, match=r"^form.cut: 3 is outside the model, which has 3 blocks; wanted 1 to 2$"):
        model.parts(3, "u")
    tied = Full().layout(model)
    portions_of(tied, model.parts(1, "u"))
    with pytest.raises(UserError, match=r"^form.shape: transformer.wte.weight is used on both sides; take 'u'"):
        portions_of(tied, model.parts(1, "v"))


def test_operations_of_a_language_models_sides_are_those_of_the_whole_in_both_shapes():
    backbone = Words("llama")
    backbone.network.float()
    backbone.examples = documents
    layout, at_client = layout_for(backbone, "lora"), {}
    whole = operations_of(backbone, layout)
    for shape in "uv":
        client, server = operations_of_sides(backbone, layout, backbone.parts(1, shape))
        assert client.forward + server.forward == whole.forward
        assert client.training + server.training == pytest.approx(whole.training, rel=0.02)
        at_client[shape] = client.training
    assert at_client["v"] < at_client["u"] < whole.training
