"""Make what the tests of question answering, tagging and similarity compare with: answers of the Python libraries that users trust.

    python scripts/export-labelled.py

Writes test/evaluate/text/{answers,windows,seqeval,correlation}.jsonl. Made with Python 3.11, tokenizers 0.22.2, transformers 4.57.6,
seqeval 1.2.2, scikit-learn 1.9.1 and scipy 1.17.1.
"""
import json
import pathlib
import random
import warnings

import numpy as np
from scipy.stats import pearsonr, spearmanr
from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score
from seqeval.scheme import IOB2
from tokenizers import Tokenizer
from transformers.data.metrics.squad_metrics import compute_exact, compute_f1, normalize_answer

root = pathlib.Path(__file__).parent.parent
out = root / "test" / "evaluate" / "text"
warnings.simplefilter("ignore")


def write(name, lines):
    with open(out / f"{name}.jsonl", "w") as f:
        f.writelines(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)


def answers():
    """Exact match and F1 by the best of the answers, as the official script takes them."""
    cases = [
        ("the Eiffel Tower", ["Eiffel tower.", "a tower"]), ("", []), ("something", []), ("", ["something"]), ("the", ["a"]), ("the", []),
        ("An  apple\ta day", ["apple day", "day"]), ("U.S.A.", ["USA", "the US"]), ("über the Straße", ["Über Straße"]), ("theatre", ["a theatre"]),
        ("naïve-a the", ["naïvea"]), ("été a la", ["ÉTÉ la"]), ("1,000 $", ["1000"]), ("“quoted”", ["quoted"]), ("x\u0085y\x1cz", ["x y z"]),
        ("\ufeffa b", ["b"]), ("a_the b", ["athe b", "b"]), ("ΟΔΥΣΣΕΥΣ", ["οδυσσευς"]), ("İstanbul", ["istanbul"]), ("日本 the 本", ["日本 本"]),
        ("a1 the١ an½", ["a1 the١ an½"]), ("in in in June", ["in June", "June"]), ("a a a", ["the"]), ("e\u0301 the", ["é"]), ("the\u0301 x", ["x"]),
    ]
    pick = random.Random(3)
    words = ["the", "a", "An", "red", "Red.", "house", "house's", "in", "1984", "—", "é", ""]
    for _ in range(60):
        phrase = lambda: " ".join(pick.choice(words) for _ in range(pick.randint(0, 5)))
        cases.append((phrase(), [phrase() for _ in range(pick.randint(0, 3))]))
    lines = []
    for prediction, given in cases:
        right = [answer for answer in given if normalize_answer(answer)] or [""]
        lines.append({
            "prediction": prediction, "answers": given, "normalised": normalize_answer(prediction),
            "exact": max(compute_exact(answer, prediction) for answer in right),
            "f1": max(compute_f1(answer, prediction) for answer in right),
        })
    write("answers", lines)


def best_answer(context, features, starts, ends, n_best, longest, none):
    """The loop of transformers' question-answering example, for one question."""
    spans, null = [], None
    for feature, start, end in zip(features, starts, ends):
        if null is None or start[0] + end[0] < null:
            null = start[0] + end[0]
        for s in np.argsort(start, kind="stable")[-1 : -n_best - 1 : -1]:
            for e in np.argsort(end, kind="stable")[-1 : -n_best - 1 : -1]:
                if feature[s] is None or feature[e] is None or e < s or e - s + 1 > longest:
                    continue
                spans.append((start[s] + end[e], context[feature[s][0] : feature[e][1]]))
    score, text = max(spans, key=lambda span: span[0]) if spans else (-np.inf, "")
    return "" if none and null > score else text


def windows():
    spam = root / "examples" / "spam-filter"
    tokenizer = Tokenizer.from_file(str(spam / "tokenizer.json"))
    tokenizer.no_padding()
    texts = [json.loads(line)["text"] for line in open(spam / "test.jsonl")]
    contexts = [text for text in texts if 150 < len(text) < 500][:9]
    contexts += ["Crème BRÛLÉE: ÅNGSTRÖM 😀 日本語 naïve cafés, O'Neill's «Ærø».  Twice  spaced\tand\n\nbroken lines; 1,000.50 €. " * 2, "Short.", ""]
    draw = np.random.default_rng(5)
    lines = []
    for k, context in enumerate(contexts):
        question = f"  What is it about number {k}? "
        length, stride = [(24, 6), (40, 12), (32, 1), (128, 32)][k % 4]
        tokenizer.enable_truncation(length, stride=stride, strategy="only_second")
        first = tokenizer.encode(question.lstrip(), context)
        encoded = [first, *first.overflowing]
        features = [[span if part == 1 else None for span, part in zip(e.offsets, e.sequence_ids)] for e in encoded]
        starts, ends = ([draw.standard_normal(len(e.ids)).astype(np.float32).round(4) for e in encoded] for _ in range(2))
        found = {}
        for name, n_best, longest, none in (("best", 20, 30, False), ("short", 5, 3, False), ("none", 20, 30, True), ("few", 2, 2, True)):
            found[name] = best_answer(context, features, starts, ends, n_best, longest, none)
        lines.append({
            "question": question, "context": context, "length": length, "stride": stride,
            "ids": [e.ids for e in encoded], "typeIds": [e.type_ids for e in encoded],
            "starts": [[round(float(z), 4) for z in row] for row in starts], "ends": [[round(float(z), 4) for z in row] for row in ends], **found,
        })
    write("windows", lines)


def seqeval():
    draw = random.Random(7)
    schemes = [
        ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"], ["O", "I-PER", "I-LOC"], ["O", "B-A", "I-A", "E-A", "S-A", "B-B", "I-B", "E-B", "S-B"],
        ["O", "B", "I"], ["NOUN", "VERB", "DET", "."], ["O", "B-A-1", "I-A-1", "B-A-2", "I-A-2"], ["O", "B-X"],
    ]
    lines = []
    for labels in schemes:
        for skill in (0.3, 0.85, 1.0):
            actual = [[draw.choice(labels) for _ in range(draw.randint(1, 12))] for _ in range(12)]
            predicted = [[tag if draw.random() < skill else draw.choice(labels) for tag in row] for row in actual]
            line = {
                "predicted": predicted, "actual": actual, "f1": f1_score(actual, predicted), "precision": precision_score(actual, predicted),
                "recall": recall_score(actual, predicted), "accuracy": accuracy_score(actual, predicted),
            }
            # Strict IOB2 knows these prefixes only.
            if all(tag[0] in "OBI" and tag not in "BI" for tag in labels):
                strict = {"mode": "strict", "scheme": IOB2}
                line["strict"] = {
                    "f1": f1_score(actual, predicted, **strict), "precision": precision_score(actual, predicted, **strict),
                    "recall": recall_score(actual, predicted, **strict),
                }
            lines.append(line)
    nothing = [["O", "O"], ["O"]]
    lines.append({"predicted": nothing, "actual": nothing, "f1": f1_score(nothing, nothing), "precision": 0.0, "recall": 0.0, "accuracy": 1.0})
    write("seqeval", lines)


def correlation():
    draw = np.random.default_rng(11)
    lines = []
    for n, scale in ((2, 1), (5, 1), (40, 1e-3), (200, 1e6)):
        x = draw.standard_normal(n)
        y = 0.6 * x + draw.standard_normal(n)
        lines.append((x, y * scale + 1e3 * scale))
    lines.append((draw.integers(0, 6, 120) / 2, draw.integers(0, 4, 120)))
    lines.append((draw.integers(0, 6, 60) / 2, draw.standard_normal(60)))
    lines.append((np.arange(10), -np.arange(10) ** 3))
    write("correlation", [
        {"x": x.tolist(), "y": y.tolist(), "pearson": pearsonr(x, y).statistic, "spearman": spearmanr(x, y).statistic} for x, y in lines
    ])


if __name__ == "__main__":
    answers()
    windows()
    seqeval()
    correlation()
