"""
More cases like the fixtures: architectures and exporters from which nothing was learnt beforehand, each as small as it can be.

    python scripts/export-architectures.py                      test/architectures, all cases
    python scripts/export-architectures.py --only swin clip     some of them
    python scripts/export-architectures.py --list               what is there: operators, sizes

How a case is made, and what it needs, is in export-fixtures.py, which runs this table. Only the model file and case.json are
kept, and what dynamo notes at each node (stack traces, half of a small file) is left out.

`refused` lists what a refusal must say, for what cannot be pruned; the blocks are then those that can.
"""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    here = Path(__file__)
    options = sys.argv[1:] if "--list" in sys.argv else ["--set", "hidden", "--table", str(here), *sys.argv[1:]]
    sys.argv = [str(here), str(here.parent.parent / "test" / "architectures"), *options]
    runpy.run_path(str(here.with_name("export-fixtures.py")), run_name="__main__")
    sys.exit()

import onnx
import onnxruntime
import torch
from export import (
    Case, Classifier, Logits, decoder_inputs, half, heads, hf, images, layers, neurons, optimum, ort_fused, pytorch, seq2seq_decoder,
    slim, text, then,
)  # fmt: skip
from torch import nn


# --- exporters -------------------------------------------------------------------------------------------------------


def lean(export):
    """Keeps the model's file alone, without the exporter's notes."""

    def both(model, folder, case, example):
        by = export(model, folder, case, example)
        for path in folder.iterdir():
            if path.name != case.file:
                path.unlink()
        file = onnx.load(folder / case.file)
        for node in [*file.graph.node, *(node for function in file.functions for node in function.node)]:
            del node.metadata_props[:]
        for value in [*file.graph.value_info, *file.graph.input, *file.graph.output]:
            del value.metadata_props[:]
        onnx.save(file, folder / case.file)
        return by

    return both


def by_optimum(task: str, *steps, **options):
    return lean(then(optimum(task, **options), *steps) if steps else optimum(task, **options))


def by_torch(opset: int, *steps, dynamo: bool):
    options = {"external_data": False} if dynamo else {}
    export = pytorch(opset, dynamo=dynamo, **options)
    return lean(then(export, *steps) if steps else export)


def quantized(path: Path, _) -> str:
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(path, path)
    return "onnxruntime dynamic quantization"


def session_optimized(path: Path, _) -> str:
    """What onnxruntime itself makes of a model when it opens it."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path.with_suffix(".optimized"))
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    path.with_suffix(".optimized").replace(path)
    return f"onnxruntime {onnxruntime.__version__} session optimizer"


class Text(nn.Module):
    """One output of a text model, without its many optional arguments, as people wrap it for torch.onnx.export."""

    def __init__(self, model: nn.Module, output: str = "last_hidden_state", **options):
        super().__init__()
        self.model, self.output, self.options = model, output, options

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask, **self.options)[self.output]


class Positioned(nn.Module):
    """A causal model that is told its positions."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
        return self.model(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, use_cache=False
        ).logits


class First(nn.Module):
    """What an encoder of spectrograms gives first."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, input_features: torch.Tensor) -> torch.Tensor:
        return self.model(input_features)[0]


class Transcriber(nn.Module):
    """A decoder that reads an encoder's states."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, encoder_hidden_states: torch.Tensor) -> torch.Tensor:
        states = self.model.model.decoder(input_ids=input_ids, encoder_hidden_states=encoder_hidden_states, use_cache=False)
        return self.model.proj_out(states[0])


class Reader(nn.Module):
    """nn.TransformerDecoder as people use it."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerDecoderLayer(16, 4, 12, activation="gelu", batch_first=True)
        self.embed = nn.Embedding(24, 16)
        self.decoder = nn.TransformerDecoder(layer, 1)
        self.head = nn.Linear(16, 24)

    def forward(self, input_ids: torch.Tensor, encoder_hidden_states: torch.Tensor) -> torch.Tensor:
        return self.head(self.decoder(self.embed(input_ids), encoder_hidden_states))


class Pixels(nn.Module):
    """The same for a vision model."""

    def __init__(self, model: nn.Module, output: str = "last_hidden_state"):
        super().__init__()
        self.model, self.output = model, output

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.model(pixel_values=pixel_values)[self.output]


def both(*parts):
    """The blocks of several towers, in forward order."""
    return lambda model: [block for part in parts for block in part(model)]


def no_blocks(_):
    return []


def features(name: str, channels: int, length: int):
    """Spectrograms: two, then three of them."""

    def samples(random):
        return [{name: random.standard_normal((batch, channels, length)).astype("float32")} for batch in (2, 3)]

    return samples


def heard(random, batch: int, length: int, frames: int, hidden: int):
    return {
        "input_ids": random.integers(4, 24, (batch, length)),
        "encoder_hidden_states": random.standard_normal((batch, frames, hidden)).astype("float32"),
    }


def text_and_images(vocab: int, size: int):
    """As many images as texts are not needed: each text is compared with each image."""

    def samples(random):
        written, seen = text(vocab)(random), images("pixel_values", 3, size)(random)
        return [{**one, **other} for one, other in zip(written, seen)]

    return samples


# --- the table -------------------------------------------------------------------------------------------------------

TINY = dict(
    vocab_size=24, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=12, max_position_embeddings=24
)
GROUPED = dict(TINY, num_key_value_heads=2, head_dim=4)
SPECIAL = dict(bos_token_id=1, eos_token_id=2, pad_token_id=0)
encoder_parts = ("attention.output.dense", heads(4, 4)), ("output.dense", neurons())
bert_like = layers("encoder.layer", *encoder_parts)
states = dict(outputs=("last_hidden_state",))
plain = text(24)
positioned = text(24, positions=True)
mlp_gated = ("mlp.down_proj", neurons(gated=True))
llama_grouped = layers("model.layers", ("self_attn.o_proj", heads(4, 4, kv_heads=2)), mlp_gated)
DEBERTA = dict(
    TINY, relative_attention=True, pos_att_type=["p2c", "c2p"], position_biased_input=False, type_vocab_size=0,
    max_relative_positions=8, pad_token_id=0,
)  # fmt: skip
DEBERTA_V3 = dict(DEBERTA, position_buckets=4, norm_rel_ebd="layer_norm", share_att_key=True)
BART = dict(
    vocab_size=24, d_model=16, encoder_layers=1, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
    encoder_ffn_dim=12, decoder_ffn_dim=12, max_position_embeddings=24, decoder_start_token_id=2, forced_eos_token_id=None, **SPECIAL,
)  # fmt: skip
WHISPER = dict(
    vocab_size=24, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
    encoder_ffn_dim=12, decoder_ffn_dim=12, max_source_positions=8, max_target_positions=16, num_mel_bins=6,
    decoder_start_token_id=2, **SPECIAL,
)  # fmt: skip
decoder_parts = (
    ("self_attn.out_proj", heads(4, 4)), ("encoder_attn.out_proj", heads(4, 4)), ("fc2", neurons()),
)  # fmt: skip
post_layers = ("self_attn.out_proj", heads(4, 4)), ("fc2", neurons())
CLIP_TOWER = dict(hidden_size=16, intermediate_size=12, num_hidden_layers=1, num_attention_heads=4)


def clip_model() -> nn.Module:
    import transformers

    text_config = dict(CLIP_TOWER, vocab_size=24, max_position_embeddings=16, **SPECIAL)
    vision_config = dict(CLIP_TOWER, image_size=8, patch_size=4)
    return transformers.CLIPModel(
        transformers.CLIPConfig(text_config=text_config, vision_config=vision_config, projection_dim=8)
    )


clip_parts = ("self_attn.out_proj", heads(4, 4)), ("mlp.fc2", neurons())

CASES = [
    # encoders
    Case(
        "deberta-v3-optimum", "deberta-v3", hf("DebertaV2Model", **dict(DEBERTA_V3, num_hidden_layers=1)), bert_like, plain, by_optimum("feature-extraction"),
        notes="Relative positions meet content in three products; one matrix makes keys of tokens and of positions.",
    ),
    Case(
        "deberta-v3-dynamo", "deberta-v3", hf("DebertaV2Model", **DEBERTA_V3), bert_like, plain, by_torch(18, dynamo=True),
        graph=Text, **states,
    ),
    Case(
        "deberta-optimum", "deberta", hf("DebertaModel", **dict(DEBERTA, num_hidden_layers=1)), bert_like, plain, by_optimum("feature-extraction"),
        notes="Queries, keys and values packed head by head.",
    ),
    Case(
        "mpnet-optimum", "mpnet", hf("MPNetModel", **TINY),
        layers("encoder.layer", ("attention.attn.o", heads(4, 4)), ("output.dense", neurons())), text(24, pad=1),
        by_optimum("feature-extraction"), notes="One relative bias, expanded over the batch, serves all layers.",
    ),
    Case(
        "modernbert-optimum", "modernbert",
        hf("ModernBertModel", **TINY, pad_token_id=0, global_attn_every_n_layers=2, local_attention=4, reference_compile=False),
        layers("layers", ("attn.Wo", heads(4, 4)), ("mlp.Wo", neurons(gated=True))), plain, by_optimum("feature-extraction"),
        notes="Queries, keys and values in one matrix; gate and value in another.",
    ),
    Case(
        "bert-opset11", "bert", hf("BertModel", **TINY, attn_implementation="eager"), bert_like, text(24, types=True), by_torch(11, dynamo=False),
        outputs=("last_hidden_state", "pooler_output"), notes="Split, Squeeze and Unsqueeze have attributes; Softmax flattens.",
    ),
    Case(
        "bert-quantized", "bert", hf("BertModel", **TINY), no_blocks, text(24, types=True),
        by_optimum("feature-extraction", quantized), tolerance=0.5, refused=("MatMulInteger holds its weights quantized",),
    ),
    # decoders
    Case(
        "opt-optimum", "opt",
        hf("OPTForCausalLM", vocab_size=24, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, ffn_dim=12,
           max_position_embeddings=24, word_embed_proj_dim=8, **SPECIAL),
        layers("model.decoder.layers", *post_layers), positioned, by_optimum("text-generation"), notes="Embeddings are narrower than the layers.",
    ),
    Case(
        "gpt-neox-optimum", "gpt-neox", hf("GPTNeoXForCausalLM", **TINY, rotary_pct=0.5, **SPECIAL),
        layers("gpt_neox.layers", ("attention.dense", heads(4, 4)), ("mlp.dense_4h_to_h", neurons())), positioned,
        by_optimum("text-generation"), notes="Packed head by head; half of each head is rotated; attention and MLP side by side.",
    ),
    Case(
        "gpt-neox-dynamo23", "gpt-neox", hf("GPTNeoXForCausalLM", **TINY, rotary_pct=0.5, **SPECIAL),
        layers("gpt_neox.layers", ("attention.dense", heads(4, 4)), ("mlp.dense_4h_to_h", neurons())), positioned,
        by_torch(23, dynamo=True), graph=Positioned, notes="Attention and RotaryEmbedding are operators.",
    ),
    Case(
        "gptj-optimum-past", "gptj",
        hf("GPTJForCausalLM", vocab_size=24, n_embd=16, n_layer=1, n_head=4, n_inner=12, n_positions=24, rotary_dim=2, **SPECIAL),
        layers("transformer.h", ("attn.out_proj", heads(4, 4)), ("mlp.fc_out", neurons())),
        text(24, positions=True, past=(1, 4, 4)), by_optimum("text-generation-with-past"),
        notes="Rotates neighbouring pairs; keys are cast on their way into the cache.",
    ),
    Case(
        "gpt-bigcode-optimum", "gpt-bigcode",
        hf("GPTBigCodeForCausalLM", vocab_size=24, n_embd=16, n_layer=2, n_head=4, n_inner=12, n_positions=24, **SPECIAL),
        layers("transformer.h", ("attn.c_proj", heads(4, 4)), ("mlp.c_proj", neurons())), positioned,
        by_optimum("text-generation"), notes="All queries share one key and one value.",
    ),
    Case(
        "codegen-optimum", "codegen",
        hf("CodeGenForCausalLM", vocab_size=24, n_embd=32, n_layer=1, n_head=8, n_inner=12, n_positions=24, rotary_dim=2, **SPECIAL),
        layers("transformer.h", ("attn.out_proj", heads(8, 4, kv_heads=4)), ("mlp.fc_out", neurons())), positioned,
        by_optimum("text-generation"), notes="Packed in four parts, each of queries, values and keys: a structure is a head of every part.",
    ),
    Case(
        "qwen3-dynamo23", "qwen3", hf("Qwen3ForCausalLM", **GROUPED, **SPECIAL), llama_grouped, positioned, by_torch(23, dynamo=True),
        graph=Positioned, notes="Queries and keys are normalised within each head.",
    ),
    Case(
        "phi3-optimum", "phi3", hf("Phi3ForCausalLM", **dict(GROUPED, num_hidden_layers=1), **SPECIAL), llama_grouped, positioned,
        by_optimum("text-generation"), notes="qkv_proj and gate_up_proj are packed, and queries are grouped.",
    ),
    Case(
        "cohere-optimum", "cohere", hf("CohereForCausalLM", **dict(GROUPED, num_hidden_layers=1), **SPECIAL), llama_grouped, positioned,
        by_optimum("text-generation"), notes="Rotation by computed shapes; attention and MLP side by side.",
    ),
    Case(
        "olmo2-optimum", "olmo2", hf("Olmo2ForCausalLM", **TINY, **SPECIAL), layers("model.layers", mlp_gated), positioned,
        by_optimum("text-generation"), refused=("/self_attn/q_norm/",),
        notes="Queries and keys are normalised over all heads together, so no head can go.",
    ),
    Case(
        "bloom-optimum", "bloom", hf("BloomForCausalLM", vocab_size=24, hidden_size=16, n_layer=2, n_head=4, **SPECIAL),
        layers("transformer.h", ("self_attention.dense", heads(4, 4)), ("mlp.dense_4h_to_h", neurons())), plain,
        by_optimum("text-generation"), notes="ALiBi: one bias by head, as [batch * heads, 1, tokens], serves all layers.",
    ),
    Case(
        "bloom-dynamo", "bloom", hf("BloomForCausalLM", vocab_size=24, hidden_size=16, n_layer=2, n_head=4, **SPECIAL),
        layers("transformer.h", ("self_attention.dense", heads(4, 4)), ("mlp.dense_4h_to_h", neurons())), plain,
        by_torch(18, dynamo=True), graph=Logits,
    ),
    Case(
        "mpt-optimum", "mpt", hf("MptForCausalLM", vocab_size=24, d_model=16, n_layers=2, n_heads=4, expansion_ratio=1, max_seq_len=24),
        layers("transformer.blocks", ("attn.out_proj", heads(4, 4)), ("ffn.down_proj", neurons())), plain,
        by_optimum("text-generation"), notes="ALiBi, as one table for all layers.",
    ),
    Case(
        "falcon-optimum", "falcon",
        hf("FalconForCausalLM", vocab_size=24, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, ffn_hidden_size=12, **SPECIAL),
        layers("transformer.h", ("self_attention.dense", heads(4, 4)), ("mlp.dense_4h_to_h", neurons())), positioned,
        by_optimum("text-generation"), notes="All queries share one key and one value, which lie behind them in one matrix.",
    ),
    Case(
        "falcon-gqa-dynamo", "falcon",
        hf("FalconForCausalLM", vocab_size=24, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_kv_heads=2,
           ffn_hidden_size=12, new_decoder_architecture=True, **SPECIAL),
        layers("transformer.h", ("self_attention.dense", heads(4, 4, kv_heads=2)), ("mlp.dense_4h_to_h", neurons())), plain,
        by_torch(18, dynamo=True), graph=Logits, notes="Each group holds its queries, its key and its value side by side.",
    ),
    # encoder-decoders
    Case(
        "bart-optimum-decoder", "bart", hf("BartForConditionalGeneration", **BART), layers("model.decoder.layers", *decoder_parts),
        decoder_inputs(24, 16, 2, 4, 4, past=False, merged=False), by_optimum("text2text-generation"), file="decoder_model.onnx",
        graph=seq2seq_decoder, notes="Cross-attention.",
    ),
    Case(
        "whisper-torchscript", "whisper", hf("WhisperForConditionalGeneration", **WHISPER),
        layers("model.encoder.layers", *post_layers), features("input_features", 6, 16), by_torch(17, dynamo=False),
        graph=lambda model: First(model.model.encoder), notes="Two convolutions before the layers; keys have no bias.", **states,
    ),
    Case(
        "whisper-dynamo-decoder", "whisper", hf("WhisperForConditionalGeneration", **WHISPER),
        layers("model.decoder.layers", *decoder_parts),
        lambda random: [heard(random, batch, 5, 8, 16) for batch in (2, 3)], by_torch(18, dynamo=True), graph=Transcriber,
        notes="The mask of the decoder is made inside; lengths are fixed.",
    ),
    Case(
        "torch-decoder-torchscript", "nn.TransformerDecoder", Reader,
        layers("decoder.layers", ("self_attn.out_proj", heads(4, 4)), ("multihead_attn.out_proj", heads(4, 4)), ("linear2", neurons())),
        lambda random: [heard(random, batch, 5, 6, 16) for batch in (2, 3)], by_torch(17, dynamo=False),
        notes="Cross-attention takes its matrices out of a packed one, at places that a run computes.",
    ),
    # vision
    Case(
        "swin-optimum", "swin",
        hf("SwinForImageClassification", image_size=16, patch_size=2, embed_dim=8, depths=[2], num_heads=[2], window_size=4,
           mlp_ratio=1.5, num_labels=3),
        layers("swin.encoder.layers.0.blocks", ("attention.output.dense", heads(2, 4)), ("output.dense", neurons())),
        images("pixel_values", 3, 16), by_optimum("image-classification"), notes="Shifted windows; a relative bias of its own per layer.",
    ),
    Case(
        "clip-optimum", "clip", clip_model,
        both(layers("vision_model.encoder.layers", *clip_parts), layers("text_model.encoder.layers", *clip_parts)),
        text_and_images(24, 8), by_optimum("zero-shot-image-classification"), notes="Two towers.",
    ),
    Case(
        "dinov2-dynamo", "dinov2",
        hf("Dinov2Model", hidden_size=16, num_hidden_layers=2, num_attention_heads=4, image_size=8, patch_size=4, mlp_ratio=1,
           use_swiglu_ffn=True),
        layers("encoder.layer", ("attention.output.dense", heads(4, 4)), ("mlp.weights_out", neurons(gated=True))),
        images("pixel_values", 3, 8), by_torch(18, dynamo=True), graph=Pixels, notes="Layer scale; a packed SwiGLU.", **states,
    ),
    Case(
        "siglip-torchscript", "siglip", hf("SiglipVisionModel", **CLIP_TOWER, image_size=8, patch_size=4),
        both(
            layers("vision_model.encoder.layers", *clip_parts),
            lambda model: [heads(4, 4)(model.vision_model.head.attention.out_proj), neurons()(model.vision_model.head.mlp.fc2)],
        ),
        images("pixel_values", 3, 8), by_torch(17, dynamo=False), graph=lambda model: Pixels(model, "pooler_output"),
        outputs=("pooler_output",), notes="A learnt query pools the patches: an attention without a bypass.",
    ),
    Case(
        "segformer-optimum", "segformer",
        hf("SegformerForImageClassification", num_encoder_blocks=1, depths=[2], sr_ratios=[2], hidden_sizes=[16], patch_sizes=[3],
           strides=[2], num_attention_heads=[4], mlp_ratios=[1], num_labels=3),
        layers("segformer.encoder.block.0", ("attention.output.dense", heads(4, 4)), ("mlp.dense2", neurons())),
        images("pixel_values", 3, 8), by_optimum("image-classification"), notes="A depthwise convolution between the MLP's matrices.",
    ),
    Case(
        "convnext-optimum", "convnext",
        hf("ConvNextForImageClassification", hidden_sizes=[8], depths=[2], num_stages=1, patch_size=2, num_labels=3),
        layers("convnext.encoder.stages.0.layers", ("pwconv2", neurons())), images("pixel_values", 3, 8),
        by_optimum("image-classification"), notes="No heads; the MLPs that follow depthwise convolutions.",
    ),
    Case(
        "resnet-optimum", "resnet",
        hf("ResNetForImageClassification", embedding_size=4, hidden_sizes=[8], depths=[1], num_labels=3, layer_type="basic"), no_blocks,
        images("pixel_values", 3, 8), by_optimum("image-classification"), refused=("no other matrix produces it",),
    ),
    # speech
    Case(
        "wav2vec2-optimum", "wav2vec2",
        hf("Wav2Vec2Model", **TINY, conv_dim=[8], conv_stride=[4], conv_kernel=[4], num_conv_pos_embeddings=4,
           num_conv_pos_embedding_groups=2, num_feat_extract_layers=1),
        layers("encoder.layers", ("attention.out_proj", heads(4, 4)), ("feed_forward.output_dense", neurons())),
        lambda random: [{"input_values": random.standard_normal((batch, 32)).astype("float32")} for batch in (2, 3)],
        by_optimum("feature-extraction"), notes="A grouped convolution gives the positions.",
    ),
    # what has no heads, or many experts
    Case(
        "mamba-torchscript", "mamba",
        hf("MambaForCausalLM", vocab_size=24, hidden_size=8, num_hidden_layers=1, state_size=2, expand=2, time_step_rank=2, **SPECIAL),
        layers("backbone.layers", ("mixer.dt_proj", neurons())), text(24, lengths=(4, 4)), by_torch(17, dynamo=False), graph=Logits, refused=("a product of two activations mixes it",),
        notes="No heads: only the time step's bottleneck can be cut. TorchScript unrolls the scan, so lengths are fixed.",
    ),
    Case(
        "mixtral-torchscript", "mixtral",
        hf("MixtralForCausalLM", **dict(GROUPED, num_hidden_layers=1), num_local_experts=2, num_experts_per_tok=1, **SPECIAL),
        layers("model.layers", ("self_attn.o_proj", heads(4, 4, kv_heads=2)), *((f"block_sparse_moe.experts.{i}.w2", neurons(gated=True)) for i in range(2))),
        plain, by_torch(17, dynamo=False), graph=Logits,
        notes="Each expert is a block of its own: tokens are picked for it and written back.",
    ),
    Case(
        "qwen3-moe-optimum", "qwen3-moe",
        hf("Qwen3MoeForCausalLM", **dict(GROUPED, num_hidden_layers=1), num_experts=3, num_experts_per_tok=2, moe_intermediate_size=6,
           norm_topk_prob=True, **SPECIAL),
        layers("model.layers", ("self_attn.o_proj", heads(4, 4, kv_heads=2)), *((f"mlp.experts.{i}.down_proj", neurons(gated=True)) for i in range(3))),
        positioned, by_optimum("text-generation"), notes="Every expert is always exported.",
    ),
    # rewritten exports
    Case(
        "qwen3-ort-session", "qwen3", hf("Qwen3ForCausalLM", **dict(GROUPED, num_hidden_layers=1), **SPECIAL), llama_grouped, positioned,
        by_optimum("text-generation", session_optimized),
        notes="Shapes are turned about and divided as the tensors are; names that the session would give again.",
    ),
    Case(
        "mpnet-ort-fused", "mpnet", hf("MPNetModel", **TINY),
        layers("encoder.layer", ("attention.attn.o", heads(4, 4)), ("output.dense", neurons())), text(24, pad=1),
        by_optimum("feature-extraction", ort_fused("bert")), notes="The relative bias is an input of com.microsoft Attention.",
    ),
    Case(
        "bart-ort-fused", "bart", hf("BartForConditionalGeneration", **dict(BART, encoder_layers=2)),
        layers("model.encoder.layers", *post_layers), plain, by_optimum("text2text-generation", ort_fused("bart")),
        file="encoder_model.onnx", graph=lambda model: model.model.encoder,
    ),
]  # fmt: skip
