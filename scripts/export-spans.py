"""Make what the tests of data/spans/ compare with: where the Rust library says that tokens stand.

    python scripts/export-spans.py

Trains small tokenizers of the kinds that models have on lines of the example's data, and writes
test/data/spans/tokenizers.jsonl and test/data/spans/offsets.jsonl (texts, ids, and offsets in code points). Made with tokenizers 0.22.2.
"""
import json
import pathlib

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

root = pathlib.Path(__file__).parent.parent
spam = root / "examples" / "spam-filter"
out = root / "test" / "data" / "spans"

LINES = [json.loads(line)["text"] for line in open(spam / "train.jsonl")][:400]
TEXTS = list(dict.fromkeys(json.loads(line)["text"] for line in open(root / "test" / "data" / "tokens.jsonl") if '"text"' in line))
TEXTS = TEXTS[:22] + TEXTS[22::5] + ["``quoted''  and   spaced\n\nout", "<mask> between<mask>words <extra>", "Gödel (1906–1978), a ﬁnal ΣΊΣΥΦΟΣ…"]
SPLIT = Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level_bpe():
    """RoBERTa's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=380, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<mask>"])
    return tokenizer, trainer


def split_bpe():
    """Llama 3's: a regular expression divides, bytes are only written."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(SPLIT, behavior="isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer, trainers.BpeTrainer(vocab_size=380, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())


def clip_bpe():
    """CLIP's: the last piece of a word says so."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.BPEDecoder()
    return tokenizer, trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>"], end_of_word_suffix="</w>", limit_alphabet=60)


def albert_unigram():
    """ALBERT's: accents and double quotes are changed, words carry the space before them."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents(),
        normalizers.Lowercase(), normalizers.Replace(Regex(" {2,}"), " "),
    ])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer, trainers.UnigramTrainer(vocab_size=200, special_tokens=["<unk>", "<mask>"], unk_token="<unk>")


def llama_bpe():
    """Llama 2's: no pre-tokenizer, spaces are letters, and unknown letters are bytes."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.ByteFallback()
    return tokenizer, trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>"], limit_alphabet=70, max_token_length=12)


def cased_wordpiece():
    """The cased BERT's."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer, trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[UNK]"], limit_alphabet=90)


def main():
    out.mkdir(exist_ok=True)
    lines, definitions = [], []
    kinds = [byte_level_bpe, split_bpe, clip_bpe, albert_unigram, llama_bpe, cased_wordpiece]
    trained = {kind.__name__: kind() for kind in kinds}
    for name, (tokenizer, trainer) in trained.items():
        # Llama's merges would cross words.
        words = [word for line in LINES for word in line.split()] if name == "llama_bpe" else LINES
        tokenizer.train_from_iterator(words, trainer)
        tokenizer.add_tokens(["<extra>"])
        tokenizer.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B")
        definition = json.loads(tokenizer.to_str())
        if definition["model"].get("byte_fallback"):
            vocab = definition["model"]["vocab"]
            vocab |= {f"<0x{byte:02X}>": len(vocab) + byte for byte in range(256)}
            trained[name] = Tokenizer.from_str(json.dumps(definition)), trainer
        definitions.append({"name": name.replace("_", "-"), "definition": definition})
    uncased = Tokenizer.from_file(str(spam / "tokenizer.json"))
    uncased.no_padding()
    uncased.no_truncation()
    every = {"spam-filter": uncased} | {name.replace("_", "-"): tokenizer for name, (tokenizer, _) in trained.items()}
    for name, tokenizer in every.items():
        for text in TEXTS:
            found = tokenizer.encode(text, add_special_tokens=False)
            lines.append({"tokenizer": name, "text": text, "ids": found.ids, "offsets": [at for span in found.offsets for at in span]})
    for name, rows in ("offsets", lines), ("tokenizers", definitions):
        with open(out / f"{name}.jsonl", "w") as f:
            f.writelines(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)


if __name__ == "__main__":
    main()
