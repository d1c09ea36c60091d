import json

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from plaudit.errors import UsageError
from plaudit.models.catalog import load
from plaudit.models.lora import LoraSettings
from plaudit.models.packing import Tokens, segment_mask
from plaudit.models.reward_model import RewardModel, ScalarHead, ScoreSettings


@pytest.fixture
def tiny(tiny):
    """As the untouched model, which may write its special tokens."""
    tiny.trunk.head.forbid(())
    return tiny


def tokens_of(ids):
    length = ids.shape[1]
    return Tokens(ids, torch.arange(length)[None].expand_as(ids), segment_mask(torch.zeros_like(ids), torch.float32))


@pytest.fixture
def tokens():
    return tokens_of(torch.randint(3, 200, (2, 9), generator=torch.Generator().manual_seed(1)))


def disturb(trunk, name):
    """Give an adapter weights that matter."""
    generator = torch.Generator().manual_seed(7)
    for parameter in trunk.adapter_parameters(name).values():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)


def logits(trunk, tokens, adapter=None):
    with trunk.using(adapter):
        return trunk.logits(trunk.upper(trunk.lower(tokens), tokens))


def test_forward_is_the_models_own(tiny, tokens, tiny_folder):
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(tiny_folder)
    torch.testing.assert_close(logits(tiny.trunk, tokens), plain(input_ids=tokens.ids_BL).logits, rtol=1e-4, atol=1e-4)


def test_a_new_adapter_changes_nothing_and_a_trained_one_only_itself(tiny, tokens):
    trunk = tiny.trunk
    bare = logits(trunk, tokens)
    trunk.add_adapter("policy", LoraSettings(4), seed=0)
    torch.testing.assert_close(logits(trunk, tokens, "policy"), bare)
    trunk.add_adapter("other", LoraSettings(4), seed=1)
    disturb(trunk, "policy")
    assert (logits(trunk, tokens, "policy") - bare).abs().max() > 0.1
    torch.testing.assert_close(logits(trunk, tokens), bare)
    torch.testing.assert_close(logits(trunk, tokens, "other"), bare)


def test_only_adapters_learn_and_only_above_the_split(tiny, tokens):
    trunk = tiny.trunk
    trunk.add_adapter("policy", LoraSettings(4), seed=0, depth=3)
    logits(trunk, tokens, "policy").sum().backward()
    assert {name for name, p in trunk.model.named_parameters() if p.grad is not None} <= {
        name for name, _ in trunk.model.named_parameters() if ".a.policy" in name or ".b.policy" in name
    }
    assert {trunk.layer_index(path) for path in trunk.adapter_parameters("policy")} == {2}


def test_an_adapter_in_all_layers_leaves_the_others_as_they_are(tiny, tokens):
    trunk = tiny.trunk
    trunk.add_adapter("reward", LoraSettings(4), seed=0)
    disturb(trunk, "reward")
    bare, rewarded = logits(trunk, tokens), logits(trunk, tokens, "reward")
    assert trunk.split == 2
    trunk.add_adapter("policy", LoraSettings(4), seed=0, start=0)
    disturb(trunk, "policy")
    assert trunk.split == 0
    assert {trunk.layer_index(path) for path in trunk.adapter_parameters("policy")} == {0, 1, 2, 3}
    torch.testing.assert_close(logits(trunk, tokens), bare)
    torch.testing.assert_close(logits(trunk, tokens, "reward"), rewarded)
    logits(trunk, tokens, "policy").sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in trunk.adapter_parameters("policy").values())
    trunk.drop_adapter("policy")
    assert trunk.split == 2
    torch.testing.assert_close(logits(trunk, tokens, "reward"), rewarded)


@pytest.mark.parametrize("start", [None, 0])
def test_merging_for_sampling_computes_the_same(tiny, tokens, start):
    trunk = tiny.trunk
    trunk.add_adapter("policy", LoraSettings(4), seed=0, start=start)
    disturb(trunk, "policy")
    unmerged = logits(trunk, tokens, "policy")
    with trunk.merged("policy"):
        merged = trunk.logits(trunk.upper(trunk.lower(tokens), tokens))
    torch.testing.assert_close(merged, unmerged, rtol=1e-4, atol=1e-4)
    assert all(it.ready is None for it in (trunk.head, *trunk.adapted.values()))


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_token_logprobs_and_their_gradient(tiny, temperature):
    hidden = torch.randn(150, 32, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = torch.arange(150)
    logprobs, entropy = tiny.trunk.token_logprobs(hidden, targets, temperature)
    expected = (F.linear(hidden, tiny.trunk.head.weight) / temperature).log_softmax(-1)
    torch.testing.assert_close(logprobs, expected[targets, targets])
    torch.testing.assert_close(entropy, -(expected.exp() * expected).sum(-1))
    weights = torch.linspace(-1, 1, 150)
    (ours,) = torch.autograd.grad((logprobs * weights).sum(), hidden)
    (theirs,) = torch.autograd.grad((expected[targets, targets] * weights).sum(), hidden)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("head", [{}, {"cap": 3.0, "scale": 0.5}, {"forbidden": torch.tensor([0, 5])}], ids=str)
def test_the_entropys_gradient_where_it_is_learned_from(tiny, temperature, head):
    """Beside that of the log-probabilities; nothing of either is lost."""
    for name, value in head.items():
        setattr(tiny.trunk.head, name, value)
    hidden = torch.randn(150, 32, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = torch.arange(150) + 6
    expected = (tiny.trunk.head.finish(F.linear(hidden, tiny.trunk.head.weight)) / temperature).log_softmax(-1)
    entropy = torch.distributions.Categorical(logits=expected.clamp(min=-1e9)).entropy()
    weights = torch.linspace(-1, 1, 150)
    (theirs,) = torch.autograd.grad((expected[range(150), targets] * weights + entropy * weights.flip(0)).sum(), hidden)
    logprobs, found = tiny.trunk.token_logprobs(hidden, targets, temperature, learns_entropy=True)
    (ours,) = torch.autograd.grad((logprobs * weights + found * weights.flip(0)).sum(), hidden)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert not tiny.trunk.token_logprobs(hidden, targets, temperature)[1].requires_grad


@pytest.mark.parametrize("start", [None, 0])
def test_peft_loads_what_was_saved(tiny, tiny_folder, tokens, tmp_path, start):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    tiny.trunk.add_adapter("policy", LoraSettings(4, 8.0), seed=0, start=start)
    disturb(tiny.trunk, "policy")
    tiny.trunk.save_adapter("policy", tmp_path, str(tiny_folder))
    peft = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_folder), tmp_path)
    ours = logits(tiny.trunk, tokens, "policy")
    torch.testing.assert_close(peft(input_ids=tokens.ids_BL).logits, ours, rtol=1e-4, atol=1e-4)
    tiny.trunk.load_adapter("again", tmp_path)
    torch.testing.assert_close(logits(tiny.trunk, tokens, "again"), ours)


def test_an_adapter_of_another_model_is_refused(tiny, tmp_path):
    tiny.trunk.add_adapter("policy", LoraSettings(4), seed=0)
    tiny.trunk.save_adapter("policy", tmp_path, "some/model")
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"r": 8}))
    with pytest.raises(UsageError, match="some/model"):
        tiny.trunk.load_adapter("again", tmp_path)
    assert "again" not in tiny.trunk.adapters


@pytest.mark.parametrize("damage", ["torn", "lacking"])
def test_a_damaged_adapter_is_refused_in_a_sentence(tiny, tmp_path, damage):
    tiny.trunk.add_adapter("policy", LoraSettings(4), seed=0)
    tiny.trunk.save_adapter("policy", tmp_path, "some/model")
    file = tmp_path / "adapter_model.safetensors"
    if damage == "torn":
        file.write_bytes(file.read_bytes()[:-10])
    else:
        tensors = load_file(file)
        tensors.pop(sorted(tensors)[0])
        save_file(tensors, file)
    with pytest.raises(UsageError):
        tiny.trunk.load_adapter("again", tmp_path)
    assert "again" not in tiny.trunk.adapters


def test_a_head_that_lacks_a_part_is_refused_in_a_sentence(tiny, tmp_path):
    tiny.trunk.add_adapter("reward", LoraSettings(4), seed=0)
    RewardModel(tiny.trunk, "reward", ScalarHead(32, 0), ScoreSettings(depth=3)).save(tmp_path, "some/model")
    save_file({"weight": load_file(tmp_path / "head.safetensors")["weight"]}, tmp_path / "head.safetensors")
    with pytest.raises(UsageError, match="parts of it are missing"):
        RewardModel.load(tiny.trunk, tmp_path, "again")


def test_missing_models_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match="no model folder"):
        load(str(tmp_path / "absent"))
    with pytest.raises(UsageError, match=r"holds no config.json"):
        load(str(tmp_path))
    with pytest.raises(UsageError, match="nobody/nothing"):
        load("nobody/nothing")
