"""Commands on runs of texts, models that do not fit, and the page that shows what was written."""

import json
import re

import pytest
import torch

from coterie.core.errors import UserError
from coterie.models.shelves import BACKBONES


@pytest.fixture(scope="module")
def run(models, sentences, tmp_path_factory):
    """A small run of two people, with its control."""
    from coterie.runs.reading import make_recipe
    from coterie.runs.run import start

    root = tmp_path_factory.mktemp("told")
    rows = [{"text": text, "who": who} for k, who in enumerate(("ada", "bo")) for text in sentences(k, 6)]
    (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plain = {
        "rounds": 1, "form": {"name": "fedavg", "fit": {"steps": 4, "batch": 2, "rate": 0.01}},
        "backbone": {"name": "transformers_lm", "path": str(models["gpt2"]), "context": 16},
        "data": {"source": {"name": "text_table", "path": str(root / "rows.jsonl")}, "column": "who"},
        "texts": {"tokens": 6}, "pictures": {"prompts": ["the old"], "hybrids": False}, "evaluation": {"copies": 1},
        "engine": {"workers": 0, "dtype": "fp32", "width": 2}, "method": {"rank": 2},
        "control": {"form": {"name": "local"}},
    }  # fmt: skip
    start(make_recipe(plain, "test"), root / "run")
    return root / "run"


def test_the_same_seed_writes_the_same_text(run, typed):
    code, said, _ = typed("generate", run, "--prompt", "the old", "--client", "ada", "--seed", 3, "--tokens", 8)
    assert code == 0
    assert said.startswith("the old")
    again = typed("generate", run, "--prompt", "the old", "--client", "ada", "--seed", 3, "--tokens", 8, "-n", 2)
    assert again[1].startswith(said.rstrip("\n"))
    other = typed("generate", run, "--prompt", "the old", "--client", "ada", "--seed", 4, "--tokens", 8)
    assert other[1] != said
    cold = [typed("generate", run, "--prompt", "the", "--bare", "--temperature", 0, "--seed", s)[1] for s in (0, 1)]
    assert cold[0] == cold[1]


def test_python_hears_the_words_as_they_come(run, tmp_path, typed):
    import coterie

    heard = []
    told = coterie.Run.open(run)
    texts = told.write("the old", client="ada", n=2, tokens=8, hear=lambda i, piece: heard.append(piece))
    assert "".join(heard) == "".join(texts)
    with pytest.raises(UserError, match="makes texts, not pictures"):
        told.generate("a fox", client="ada")
    typed("generate", run, "--prompt", "the old", "--client", "ada", "--tokens", 8, "--out", tmp_path / "out")
    assert (tmp_path / "out" / "seed-0000.txt").read_text().rstrip("\n") == "the old" + texts[0].rstrip("\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tokens", 100], "are beyond the 64 that the model can look back on"),
        (["--top-p", 3], "texts.top_p: input should be less than or equal to 1"),
        (["--mix", "global=1", "--way", "switch"], "is a way to draw in steps"),
        (["--client", "cy"], "no adapter is called 'cy'"),
    ],
)
def test_what_cannot_be_written_is_said(run, typed, words, said):
    code, _, complaint = typed("generate", run, "--prompt", "the", *(["--bare"] if "--t" in words[0] else []), *words)
    assert code == 2
    assert said in complaint


def test_adapters_of_texts_are_exported_verified_and_merged(run, typed, tmp_path, models):
    assert typed("export", run, "ada", "--out", tmp_path / "ada")[0] == 0
    assert json.loads((tmp_path / "ada" / "adapter_config.json").read_text())["fan_in_fan_out"] is True
    code, _, complaint = typed("export", run, "ada", "--format", "kohya", "--out", tmp_path / "x.safetensors")
    assert code == 2
    assert "adapters of language models are written for peft" in complaint
    code, said, _ = typed("verify", run, "ada")
    assert code == 0
    assert said.count("PASSED") == 2
    assert typed("export", run, "bo", "--out", tmp_path / "bo")[0] == 0
    code, said, complaint = typed(
        "merge", tmp_path / "ada", tmp_path / "bo", "--backbone", models["gpt2"], "--out", tmp_path / "both"
    )
    assert code == 0, complaint
    assert (tmp_path / "both" / "texts.txt").read_text().startswith("bare model\n    It was a")
    code, _, complaint = typed("import", tmp_path / "ada", "--backbone", models["llama"], "--out", tmp_path / "no")
    assert code == 2
    assert "belongs to another backbone" in complaint


def test_the_page_shows_texts_and_perplexities(run):
    from coterie.report import make_report

    page = make_report(run).read_text()
    written = json.loads((run / "sites" / "ada" / "texts" / "final.json").read_text())
    assert 'class="given">the old</span>' in page
    assert "given is grey and underlined" in page  # a model may go on within the last word of what it was given
    assert re.search(r"\.given\{[^}]*text-decoration:underline", page)
    assert "perplexity by word" in page
    assert "bits by character" in page
    assert "frozen language model" in page
    assert " picture" not in page[page.index("<body") : page.index("<script")].replace("picture model", "")
    assert written[0]["prompt"] == "the old"


def test_documents_are_looked_at_before_a_run(run, typed, tmp_path):
    code, said, _ = typed("data", "check", run.parent / "rows.jsonl", "--column", "who")
    assert code == 0
    assert "documents          12" in said
    code, _, complaint = typed("data", "check", run.parent / "rows.jsonl", "--sheet", tmp_path / "sheet.png")
    assert code == 2
    assert "--sheet: draws pictures" in complaint


def refused(path, **more):
    with pytest.raises(UserError) as error:
        BACKBONES.build({"name": "transformers_lm", "path": str(path), **more}).load(torch.float32, 32)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_models_that_do_not_fit_are_refused(models, tmp_path):
    import shutil

    import transformers

    assert "no such folder or an id of the hub" in refused(tmp_path / "no")
    assert "not a language model that can be loaded" in refused(tmp_path)
    assert "backbone.context: 65 is more than the 64 tokens" in refused(models["gpt2"], context=65)
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "is a LoRA folder, not a model" in refused(tmp_path)
    small = tmp_path / "small"
    shutil.copytree(models["gpt2"], small)
    config = transformers.GPT2Config(vocab_size=50, n_embd=32, n_layer=1, n_head=2, n_positions=64)
    transformers.GPT2LMHeadModel(config).save_pretrained(small)
    assert "its tokenizer has 300 tokens, its network knows 50: they do not belong together" in refused(small)
    plain = json.loads((models["gpt2"] / "tokenizer_config.json").read_text())
    shutil.copytree(models["gpt2"], tmp_path / "endless")
    (tmp_path / "endless" / "tokenizer_config.json").write_text(json.dumps({**plain, "eos_token": None}))
    assert "no end mark" in refused(tmp_path / "endless")
    opt = transformers.OPTConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, ffn_dim=16, num_attention_heads=2)
    opt.save_pretrained(tmp_path / "opt")
    assert "its kind is 'opt'; there are: gpt2, llama" in refused(tmp_path / "opt")
