"""Rebuilds the PyTorch checkpoint that a BERT classifier's ONNX export was made from, and proves it.

    python bench/checkpoint.py ../shared/models/minilm-sst2 /tmp/reference/model

The peers of ../shared/peers read MODEL_DIR/torch, which a model folder as Optimum writes it lacks. Nothing is lost in such an
export: every parameter is an initializer, under its own name, or transposed at the MatMul node that carries its module's name.
OUT_DIR becomes MODEL_DIR: links to all of MODEL_FOLDER, and torch/. The logits of both must agree on the first rows of
test.jsonl, and so must the predictions; else exit 1 and no torch/.

Needs torch, transformers==4.57.6, onnx, onnxruntime.
"""
import argparse
import json
import pathlib
import shutil
import sys

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

TOLERANCE = 1e-4


def parameters(model, names):
    """{parameter name: array} for every name of a state dict."""
    stored = {i.name: i for i in model.graph.initializer}
    products = {n.name.strip("/").replace("/", "."): n.input[1] for n in model.graph.node if n.op_type == "MatMul"}
    out = {}
    for name in names:
        if name in stored:
            out[name] = numpy_helper.to_array(stored[name])
            continue
        module = name.removesuffix(".weight")
        matrix = products.get(f"{module}.MatMul")
        if matrix not in stored:
            sys.exit(f"checkpoint: the export holds neither an initializer {name} nor a matrix at /{module.replace('.', '/')}/MatMul")
        out[name] = numpy_helper.to_array(stored[matrix]).T
    return out


def largest_difference(model, session, tokenizer, texts, batch=32, length=64):
    """Largest difference of the logits, and how many predictions differ."""
    wanted = {i.name for i in session.get_inputs()}
    largest, changed = 0.0, 0
    for start in range(0, len(texts), batch):
        encoded = tokenizer(texts[start:start + batch], truncation=True, max_length=length, padding=True, return_tensors="pt")
        with torch.no_grad():
            ours = model(**encoded).logits.numpy()
        feed = {name: value.numpy() for name, value in encoded.items() if name in wanted}
        theirs = session.run(None, feed)[0]
        largest = max(largest, float(np.abs(ours - theirs).max()))
        changed += int((ours.argmax(-1) != theirs.argmax(-1)).sum())
    return largest, changed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, help="the folder that Optimum's exporter wrote, with test.jsonl")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--rows", type=int, default=256, help="rows of test.jsonl to compare on")
    args = parser.parse_args()

    source = args.model.resolve()
    model = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(source)).eval()
    state = model.state_dict()
    found = parameters(onnx.load(source / "model.onnx"), state)
    for name, value in found.items():
        if value.shape != tuple(state[name].shape):
            sys.exit(f"checkpoint: {name} is {value.shape} in the export, config.json makes it {tuple(state[name].shape)}")
    model.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in found.items()})

    session = onnxruntime.InferenceSession(str(source / "model.onnx"), providers=["CPUExecutionProvider"])
    tokenizer = AutoTokenizer.from_pretrained(source)
    texts = [json.loads(line)["text"] for line in open(source / "test.jsonl")][:args.rows]
    largest, changed = largest_difference(model, session, tokenizer, texts)
    print(f"{len(found)} parameters; {len(texts)} rows: logits differ by at most {largest:.1e}, {changed} predictions differ")
    if not largest <= TOLERANCE or changed:
        sys.exit(f"checkpoint: the logits must agree to {TOLERANCE}; this export is not the checkpoint that was rebuilt")

    args.out.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        link = args.out / file.name
        if link.is_symlink():
            link.unlink()
        link.symlink_to(file)
    shutil.rmtree(args.out / "torch", ignore_errors=True)
    model.save_pretrained(args.out / "torch")
    tokenizer.save_pretrained(args.out / "torch")


if __name__ == "__main__":
    main()
