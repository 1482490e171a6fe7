"""Someone else's check: the speed (and, on request, the accuracy) of model files in Python's onnxruntime, without any of our code.

    python bench/outside.py --record ziplm-out/run.json
    python bench/outside.py DENSE OTHER... [--batch 32 --sequence 64 --rounds 8] [--record RUN.json]
    python bench/outside.py DENSE OTHER... --data test.jsonl --tokenizer MODEL_FOLDER [--max-length 64]

DENSE and OTHER are .onnx files or folders with a model.onnx; with --record alone they are the record's. In each round every
file is timed alone in a fresh process, steady state, with onnxruntime's default session options; the order turns around from
round to round. A file's time in a round is the median of its runs; a speedup is the median over rounds of dense / other within the round.
With --record, every speedup is held against the one in the record: within 5 %, or exit 1.

Needs numpy and onnxruntime; --data needs tokenizers as well.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

TOLERANCE = 0.05
WARM_RUNS, RUNS, SECONDS = 5, 30, 4.0


def model_file(path):
    path = pathlib.Path(path)
    file = path / "model.onnx" if path.is_dir() else path
    if not file.is_file():
        sys.exit(f"outside: there is no file {file}")
    return file


def vocabulary(file):
    """Token ids to draw from: config.json's vocabulary, else 1000 ids, which every tokenizer has."""
    config = file.parent / "config.json"
    return json.loads(config.read_text()).get("vocab_size", 1000) if config.exists() else 1000


# ---------------------------------------------------------------- one file, in a process of its own
def open_session(file):
    import onnxruntime
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def feeds(session, ids, mask):
    import numpy as np
    known = dict(input_ids=ids, attention_mask=mask, token_type_ids=np.zeros_like(ids))
    missing = [i.name for i in session.get_inputs() if i.name not in known]
    if missing:
        sys.exit(f"outside: the model has inputs {missing}, expected only {list(known)}")
    return {i.name: known[i.name] for i in session.get_inputs()}


def time_one(file, batch, sequence, vocab):
    """Milliseconds of every run after the first ones."""
    import numpy as np
    session = open_session(file)
    ids = np.random.default_rng(0).integers(0, vocab, (batch, sequence)).astype(np.int64)
    feed = feeds(session, ids, np.ones_like(ids))
    for _ in range(WARM_RUNS):
        session.run(None, feed)
    out, begun = [], time.perf_counter()
    while len(out) < RUNS or (time.perf_counter() - begun < SECONDS and len(out) < 10 * RUNS):
        start = time.perf_counter()
        session.run(None, feed)
        out.append((time.perf_counter() - start) * 1e3)
    return out


def fresh(file, args, vocab):
    command = [sys.executable, __file__, "--one", str(file), "--batch", str(args.batch), "--sequence", str(args.sequence), "--vocabulary", str(vocab)]
    return statistics.median(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


# ---------------------------------------------------------------- accuracy
def label_index(value, names):
    return names[value] if isinstance(value, str) else int(value)


def accuracy(file, data, tokenizer_folder, max_length):
    import numpy as np
    from tokenizers import Tokenizer
    folder = pathlib.Path(tokenizer_folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    config = json.loads((folder / "config.json").read_text())
    padding = tokenizer.padding or {}
    tokenizer.enable_truncation(max_length)
    tokenizer.enable_padding(length=None, pad_id=padding.get("pad_id", config.get("pad_token_id", 0)), pad_token=padding.get("pad_token", "[PAD]"))
    names = {name: int(index) for name, index in config.get("label2id", {}).items()}
    rows = sorted((json.loads(line) for line in open(data) if line.strip()), key=lambda row: len(row["text"]))
    session, hits = open_session(file), 0
    for start in range(0, len(rows), 64):
        part = rows[start:start + 64]
        encoded = tokenizer.encode_batch([row["text"] for row in part])
        ids = np.array([e.ids for e in encoded], np.int64)
        mask = np.array([e.attention_mask for e in encoded], np.int64)
        logits = session.run(None, feeds(session, ids, mask))[0]
        hits += int((logits.argmax(-1) == [label_index(row["label"], names) for row in part]).sum())
    return hits, len(rows)


# ---------------------------------------------------------------- the campaign
def spread(values, digits):
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}-{max(values):.{digits}f}]"


def fingerprint():
    import onnxruntime
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.processor()) if os.path.exists("/proc/cpuinfo") else platform.processor()
    load = f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"
    return f"{cpu}, {os.cpu_count()} cores, {platform.platform()}; python {platform.python_version()}, onnxruntime {onnxruntime.__version__}; load {load}"


def recorded(record_file, files):
    """The files (the record's own where none were given), its targets by absolute file, and its shape."""
    record = json.loads(record_file.read_text())
    targets = {(record_file.parent / t["file"]).absolute(): t for t in record["targets"]}
    return files or [record["model"]["file"], *targets], targets, record["shape"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="the dense model, then the others")
    parser.add_argument("--batch", type=int, help="rows; the record's, or 32")
    parser.add_argument("--sequence", type=int, help="tokens; the record's, or 64")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--record", type=pathlib.Path, help="run.json")
    parser.add_argument("--data", help="JSONL with text and label: accuracy as well")
    parser.add_argument("--tokenizer", help="folder with tokenizer.json and config.json; the dense model's when left out")
    parser.add_argument("--max-length", type=int, default=64)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--vocabulary", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(time_one(args.one, args.batch, args.sequence, args.vocabulary)))
        return 0

    paths, targets, shape = recorded(args.record, args.models) if args.record else (args.models, {}, dict(batch=32, sequence=64))
    args.batch, args.sequence = args.batch or shape["batch"], args.sequence or shape["sequence"]
    if len(paths) < 2:
        parser.error("give the dense model and at least one other, or --record")
    files = [model_file(path) for path in paths]
    vocab = vocabulary(files[0])
    print(fingerprint())
    times = [[] for _ in files]
    for turn in range(args.rounds):
        for i in range(len(files))[::1 if turn % 2 == 0 else -1]:
            times[i].append(fresh(files[i], args, vocab))
            print(f"round {turn + 1}: {files[i]} {times[i][-1]:.2f} ms", file=sys.stderr, flush=True)

    missed = 0
    print(f"{args.rounds} rounds of fresh processes, batch {args.batch} x {args.sequence}: median [range]")
    print(f"{files[0]}: {spread(times[0], 2)} ms")
    for file, own in zip(files[1:], times[1:]):
        ratios = [d / o for d, o in zip(times[0], own)]
        line = f"{file}: {spread(own, 2)} ms, speedup {spread(ratios, 3)}"
        target = targets.get(file.absolute())
        if target:
            said = target["speedup"]
            off = statistics.median(ratios) / said["median"] - 1
            within = abs(off) <= TOLERANCE
            missed += not within
            line += f"; the record says {said['median']:.3f} [{said['low']:.3f}-{said['high']:.3f}] ({target['status']}): {100 * off:+.1f} %, {'within' if within else 'NOT within'} 5 %"
        print(line)
    if args.data:
        for file in files:
            hits, count = accuracy(file, args.data, args.tokenizer or files[0].parent, args.max_length)
            line = f"{file}: accuracy {100 * hits / count:.2f} % ({hits} of {count})"
            target = targets.get(file.absolute())
            if target and target["metric"]["name"] == "accuracy":
                line += f"; the record says {100 * target['metric']['value']:.2f} %"
            print(line)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
