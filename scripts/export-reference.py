"""Make what the tests of data/ and evaluate/ compare with: answers of the Python libraries that users trust.

    python scripts/export-reference.py

Writes test/data/tokens.jsonl, test/data/files/*.parquet and test/evaluate/scikit-learn.jsonl. Made with Python 3.11,
tokenizers 0.22.1, pyarrow 26.0.1, scikit-learn 1.9.1 and scipy 1.17.1.
"""
import hashlib
import json
import pathlib
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import log_softmax
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from tokenizers import Tokenizer

root = pathlib.Path(__file__).parent.parent
spam = root / "examples" / "spam-filter"

HARD = [
    "", "   ", "Crème BRÛLÉE ÅNGSTRÖM naïve Ærøskøbing", "Straße İstanbul ﬁne ½ Ⅳ", "日本語のテキスト 中文混合English", "한국어 텍스트",
    "😀👩‍👩‍👧 emoji ❤️", "tab\tnew\nline\r\nend", "zero\u200bwidth \ufeffbom soft\u00adhyphen", "a\u0000b\ufffdc",
    "[CLS] [MASK] in text [SEP]", "[mask] [Mask]", "x" * 101 + " ok", "don't can't 'tis `code` \"q\" $5.00 50% a+b=c <b>tag</b> ^caret~",
    "العربية नमस्ते สวัสดี", "e\u0301 o\u0308 combining", "\u2028line sep\u2029para\u00a0nbsp\u3000ideographic", "ΣΑΣ ὈΔΥΣΣΕΎΣ ς",
    "１２３ full width ＡＢＣ", "𝒳 𝕏 \U0001F1E9\U0001F1EA", "\u0085nel \x1b[0m esc", "ok . . . ...--__==",
]


def tokens():
    tokenizer = Tokenizer.from_file(str(spam / "tokenizer.json"))
    tokenizer.no_padding()
    pick = random.Random(1)
    letters = list("abcXYZ 019.,!?'-_()[]<>@#$%&*~|\\/\"\t\nΣ") + list("éÉßİıÑüø中日한あア😀❤\u200d\u0301\u00a0\u2003ﬁςЖжאब")
    texts = HARD + ["".join(pick.choice(letters) for _ in range(pick.randint(1, 60))) for _ in range(100)]
    lines = []
    for i, text in enumerate(texts):
        for pair in (None, texts[(i + 7) % len(texts)]):
            length = pick.choice([8, 9, 24, 128])
            tokenizer.enable_truncation(length, strategy="longest_first")
            encoded = tokenizer.encode(text, pair)
            lines.append({"text": text, "pair": pair, "length": length, "ids": encoded.ids, "typeIds": encoded.type_ids})
    tokenizer.enable_truncation(128)
    rows = [json.loads(line)["text"] for line in open(spam / "test.jsonl")]
    ids = json.dumps([tokenizer.encode(text).ids for text in rows], separators=(",", ":"))
    lines.append({"file": "test.jsonl", "sha256": hashlib.sha256(ids.encode()).hexdigest()})
    with open(root / "test" / "data" / "tokens.jsonl", "w") as f:
        f.writelines(json.dumps(line) + "\n" for line in lines)


def tables():
    rows = {"sentence": ["good, \"very\" good", "bad\nworse", "", "naïve 😀"], "other": ["a", "b", "c", "d"]}
    out = root / "test" / "data" / "files"
    out.mkdir(exist_ok=True)
    for name, compression, labels in (
        ("plain", "none", pa.array([1, 0, 0, 1], pa.int64())),
        ("snappy", "snappy", pa.array([1, 0, 0, 1], pa.int8())),
        ("gzip", "gzip", pa.array([True, False, False, True])),
        ("zstd", "zstd", pa.array(["spam", "ham", "ham", "spam"]).dictionary_encode()),
        ("brotli", "brotli", pa.array(["Spam", "HAM", "0", "1"])),
    ):
        pq.write_table(pa.table(rows | {"label": labels}), out / f"{name}.parquet", compression=compression, row_group_size=3)


def metrics():
    draw = np.random.default_rng(0)
    lines = []
    for classes, n, skill in ((2, 200, 0.8), (2, 50, 0.5), (2, 30, 1.0), (3, 300, 0.7), (7, 90, 0.4), (4, 12, 0.6)):
        labels = draw.integers(0, classes, n)
        predictions, other = (np.where(draw.random(n) < skill, labels, draw.integers(0, classes, n)) for _ in range(2))
        logits = (draw.standard_normal((n, classes)) * 20).round(2).astype(np.float32)
        teacher = (draw.standard_normal((n, classes)) * 3).round(2).astype(np.float32)
        log_p, log_q = log_softmax(teacher.astype(float), axis=1), log_softmax(logits.astype(float), axis=1)
        alone = ((predictions == labels) & (other != labels)).sum(), ((predictions != labels) & (other == labels)).sum()
        lines.append({
            "classes": classes, "labels": labels.tolist(), "predictions": predictions.tolist(), "other": other.tolist(),
            "accuracy": accuracy_score(labels, predictions),
            "f1": f1_score(labels, predictions, average="binary" if classes == 2 else "macro"),
            "matthews": matthews_corrcoef(labels, predictions),
            "mcNemar": binomtest(int(alone[0]), int(sum(alone)), 0.5).pvalue if sum(alone) else 1.0,
            "logits": [round(float(z), 2) for z in logits.ravel()], "teacher": [round(float(z), 2) for z in teacher.ravel()],
            "crossEntropy": -log_q[np.arange(n), labels].mean(),
            "klDivergence": (np.exp(log_p) * (log_p - log_q)).sum(1).mean(),
        })
    with open(root / "test" / "evaluate" / "scikit-learn.jsonl", "w") as f:
        f.writelines(json.dumps(line) + "\n" for line in lines)


if __name__ == "__main__":
    tokens()
    tables()
    metrics()
