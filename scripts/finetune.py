"""Fine-tune a BERT classifier on JSONL rows {"text": ..., "label": int} and export it with Optimum.

    python scripts/finetune.py INIT_DIR DATA_DIR OUT_DIR [--epochs 3] [--lr 5e-5] [--max-length 64]

INIT_DIR holds a Hugging Face config, tokenizer and (optionally) weights; DATA_DIR holds train.jsonl and
validation.jsonl, and test.jsonl where there is one; OUT_DIR gets model.onnx, config.json, tokenizer.json and metrics.json.
"""
import argparse
import json
import math
import pathlib
import random
import time

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup


def rows(path):
    return [json.loads(line) for line in open(path)]


def batches(data, tokenizer, size, max_length, shuffle):
    """Batches of similar length: sort inside windows of 50 batches, then shuffle the batches."""
    order = list(range(len(data)))
    if shuffle:
        random.shuffle(order)
    window = size * 50
    chunks = []
    for start in range(0, len(order), window):
        part = sorted(order[start:start + window], key=lambda i: len(data[i]["text"]))
        chunks += [part[i:i + size] for i in range(0, len(part), size)]
    if shuffle:
        random.shuffle(chunks)
    for chunk in chunks:
        enc = tokenizer([data[i]["text"] for i in chunk], truncation=True, max_length=max_length, padding=True, return_tensors="pt")
        yield enc, torch.tensor([data[i]["label"] for i in chunk])


@torch.no_grad()
def accuracy(model, data, tokenizer, max_length):
    model.eval()
    hits = sum((model(**enc).logits.argmax(-1) == y).sum().item() for enc, y in batches(data, tokenizer, 64, max_length, False))
    return hits / len(data)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("init")
    p.add_argument("data")
    p.add_argument("out")
    p.add_argument("--epochs", type=int, default=3)
    p.add_argument("--lr", type=float, default=5e-5)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--max-length", type=int, default=64)
    p.add_argument("--from-scratch", action="store_true")
    a = p.parse_args()
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    data, out = pathlib.Path(a.data), pathlib.Path(a.out)
    train, valid = rows(data / "train.jsonl"), rows(data / "validation.jsonl")
    labels = max(r["label"] for r in train) + 1
    tokenizer = AutoTokenizer.from_pretrained(a.init)
    config = AutoConfig.from_pretrained(a.init, num_labels=labels)
    model = (AutoModelForSequenceClassification.from_config(config) if a.from_scratch
             else AutoModelForSequenceClassification.from_pretrained(a.init, config=config))
    steps = math.ceil(len(train) / a.batch) * a.epochs
    optimizer = torch.optim.AdamW(model.parameters(), lr=a.lr, weight_decay=0.01)
    schedule = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
    begun = time.time()
    for epoch in range(a.epochs):
        model.train()
        total = n = 0
        for enc, y in batches(train, tokenizer, a.batch, a.max_length, True):
            loss = torch.nn.functional.cross_entropy(model(**enc).logits, y)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            total += loss.item()
            n += 1
        print(f"epoch {epoch + 1}: loss {total / n:.4f}  validation accuracy {accuracy(model, valid, tokenizer, a.max_length):.4f}  {time.time() - begun:.0f} s", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    torch_dir = out / "torch"
    model.save_pretrained(torch_dir)
    tokenizer.save_pretrained(torch_dir)
    from optimum.exporters.onnx import main_export
    main_export(str(torch_dir), output=str(out), task="text-classification")
    metrics = {"validation_accuracy": accuracy(model, valid, tokenizer, a.max_length), "validation_rows": len(valid), "max_length": a.max_length}
    if (data / "test.jsonl").exists():
        test = rows(data / "test.jsonl")
        metrics |= {"test_accuracy": accuracy(model, test, tokenizer, a.max_length), "test_rows": len(test)}
    json.dump(metrics, open(out / "metrics.json", "w"), indent=1)
    print(metrics)


if __name__ == "__main__":
    main()
