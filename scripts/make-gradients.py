"""
Gradients of the fixtures, computed by PyTorch: what test/autodiff compares with.

    python scripts/make-gradients.py                        all float32 cases into test/autodiff/gradients.jsonl
    python scripts/make-gradients.py --only bert-optimum    some of them, printed and not stored

The models are rebuilt as export-fixtures.py makes them, seeded by their names, and must give the outputs that the fixture
holds. The loss is a scalar of the first output y with n elements, in row-major order:

    loss = (sum_i cos(i)·y_i + ½·sum_i y_i²) / n

A parameter of PyTorch is found among the file's initializers by its name or by its values, whole or transposed; parameters
that the exporter merged, because their values were equal, add up their gradients. Entries follow the initializers:

    {case, sample, output, loss, gradients: {initializer: {shape, norm, projection, entries}}}, one line each

`norm` is the Euclidean norm; `projection` is sum_i cos(i)·g_i, in which every element counts; `entries` are all elements
of a small tensor, and of a large one those at every (size // 8)th place.

Needs what export-fixtures.py needs to build the models: torch, transformers, onnx, onnxruntime.
"""

import argparse
import importlib.util
import json
import sys
import zlib
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

ROOT = Path(__file__).resolve().parent.parent
SMALL = 16


def fixtures_module():
    spec = importlib.util.spec_from_file_location("export_fixtures", ROOT / "scripts" / "export-fixtures.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["export_fixtures"] = module
    sys.dont_write_bytecode = True
    spec.loader.exec_module(module)
    return module


def read(written: dict) -> torch.Tensor:
    array = np.array(written["data"], dtype=written["dtype"]).reshape(written["shape"])
    return torch.from_numpy(array)


def first_output(graph, inputs: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    """The output that the file calls `name`, with its graph of gradients."""
    tensors = dict(inputs)
    past = {key: tensors.pop(key) for key in list(tensors) if key.startswith("past_key_values.")}
    if past:
        layers = range(1 + max(int(key.split(".")[1]) for key in past))
        by_layer = [tuple(v for key, v in past.items() if key.split(".")[1] == str(layer)) for layer in layers]
        cache = EncoderDecoderCache if len(by_layer[0]) == 4 else DynamicCache
        tensors["past_key_values"] = cache.from_legacy_cache(tuple(by_layer))
    result = graph(**tensors)
    return result if isinstance(result, torch.Tensor) else result[name]


def matches(stored: np.ndarray, parameter: np.ndarray):
    """How a gradient of the parameter becomes one of the initializer; None when their values differ."""
    if stored.size == parameter.size and np.array_equal(stored.ravel(), parameter.ravel()):
        return lambda gradient: gradient.reshape(stored.shape)
    if parameter.ndim == 2 and np.array_equal(stored, parameter.T):
        return lambda gradient: gradient.T
    return None


def packed(stored: np.ndarray, parameter: np.ndarray):
    """The same for an initializer that holds queries, keys and values beside each other."""
    width = stored.shape[-1] // 3 if stored.ndim else 0
    for at in range(0, 3 * width, width) if width and stored.shape[-1] % 3 == 0 else ():
        part = matches(stored[..., at : at + width], parameter)
        if part is not None:

            def placed(gradient, part=part, at=at):
                whole = np.zeros(stored.shape, gradient.dtype)
                whole[..., at : at + width] = part(gradient)
                return whole

            return placed
    return None


def by_initializer(file: onnx.ModelProto, model: torch.nn.Module):
    """{initializer: gradient}; the names of parameters that the file does not hold."""
    stored = {i.name: numpy_helper.to_array(i) for i in file.graph.initializer}
    stored = {name: value for name, value in stored.items() if value.dtype == np.float32}
    parameters = {name: p for name, p in model.named_parameters() if p.grad is not None}
    named = {}
    for name, parameter in parameters.items():
        own = [key for key in stored if key == name or key.endswith("." + name)]
        named[name] = [key for key in own if matches(stored[key], parameter.detach().numpy())]
    claimed = {key for keys in named.values() for key in keys}
    gradients: dict[str, np.ndarray] = {}
    missing = []
    for name, parameter in parameters.items():
        value, gradient = parameter.detach().numpy(), parameter.grad.double().numpy()
        equal = [key for key, other in stored.items() if matches(other, value)]
        found = named[name] or [key for key in equal if key not in claimed] or equal
        how = matches
        if not found:
            found, how = [key for key, other in stored.items() if packed(other, value)], packed
        if not found:
            missing.append(name)
            continue
        assert len(found) == 1, f"{name} has the values of {found}"
        placed = how(stored[found[0]], value)(gradient)
        gradients[found[0]] = gradients.get(found[0], 0) + placed
    return gradients, missing


def untie(file: onnx.ModelProto, model: torch.nn.Module) -> None:
    """Lets a weight that PyTorch has once be two parameters where the file holds it twice."""
    stored = [numpy_helper.to_array(i) for i in file.graph.initializer]
    seen = {}
    for name, parameter in list(model.named_parameters(remove_duplicate=False)):
        first = seen.setdefault(id(parameter), name)
        if first == name or sum(matches(other, parameter.detach().numpy()) is not None for other in stored) < 2:
            continue
        module, attribute = name.rsplit(".", 1)
        setattr(model.get_submodule(module), attribute, torch.nn.Parameter(parameter.detach().clone()))


def described(gradient: np.ndarray) -> dict:
    flat = gradient.ravel()
    entries = flat if flat.size <= SMALL else flat[:: flat.size // 8]
    return {
        "shape": list(gradient.shape),
        "norm": number(np.linalg.norm(flat)),
        "projection": number(np.cos(np.arange(flat.size)) @ flat),
        "entries": [number(x) for x in entries],
    }


def number(value) -> float:
    return float(f"{float(value):.7g}")


def make(case, folder: Path) -> dict:
    torch.manual_seed(zlib.crc32(case.name.encode()))
    model = sys.modules["export_fixtures"].randomize(case.model(), case.default_vectors).eval()
    description = json.loads((folder / "case.json").read_text())
    index = len(description["samples"]) - 1
    sample = description["samples"][index]
    name, written = next(iter(sample["outputs"].items()))
    inputs = {key: read(value) for key, value in sample["inputs"].items()}
    if hasattr(model, "config") and not any(key.startswith("past_key_values.") for key in inputs):
        model.config.use_cache = False
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            module.padding_idx = None  # PyTorch leaves a row's gradient out for it; the exported graph does not know it
    file = onnx.load(folder / case.file)
    untie(file, model)
    y = first_output(case.graph(model), inputs, name)
    worst = (y.detach() - read(written)).abs().max().item()
    assert worst < case.tolerance, f"{case.name}: the rebuilt model differs from the fixture by {worst:.2g}"
    flat = y.flatten()
    weights = torch.cos(torch.arange(flat.numel(), dtype=torch.float64)).float()
    loss = ((weights * flat).sum() + 0.5 * (flat * flat).sum()) / flat.numel()
    loss.backward()
    gradients, missing = by_initializer(file, model)
    missing_text = f", not in the file: {' '.join(missing)}" if missing else ""
    print(f"{case.name}: forward differs by {worst:.1e}, {len(gradients)} gradients{missing_text}", flush=True)
    return {
        "sample": index,
        "output": name,
        "loss": number(loss.item()),
        "gradients": {key: described(value) for key, value in sorted(gradients.items())},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", help="names of cases; nothing is stored")
    arguments = parser.parse_args()
    module = fixtures_module()
    fixtures = ROOT / "test" / "fixtures"
    lines = []
    for case in module.CASES:
        if case.name == "bert-fp16" or (arguments.only and case.name not in arguments.only):
            continue
        lines.append(json.dumps({"case": case.name} | make(case, fixtures / case.name), separators=(",", ":")) + "\n")
    if not arguments.only:
        (ROOT / "test" / "autodiff" / "gradients.jsonl").write_text("".join(lines))


if __name__ == "__main__":
    main()
