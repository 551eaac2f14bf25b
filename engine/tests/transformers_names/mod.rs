//! What transformers calls the tensors of a GGUF file.

/// GGUF's words and those of transformers, replaced in this order.
const WORDS: [(&str, &str); 14] = [
    ("token_embd", "model.embed_tokens"),
    ("output_norm", "model.norm"),
    ("blk.", "model.layers."),
    ("attn_norm", "input_layernorm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// The name that transformers has for a tensor of a Llama or a Qwen3.
pub(crate) fn transformers_name(gguf: &str) -> String {
    if gguf == "output.weight" {
        return "lm_head.weight".to_owned();
    }
    let words = WORDS.iter();
    words.fold(gguf.to_owned(), |name, (from, to)| name.replace(from, to))
}
