//! A real model against llama.cpp: SmolLM2-135M-Instruct, which `scripts/fetch-models` downloads.
//!
//! `fixtures/smollm2-llamacpp.json` has what llama.cpp gave with the same weights, dequantised to F32 by its own tool, and keys
//! and values in f32: ten prompts with the greedy tokens after each and how far the best logit was above the second best, and
//! the negative log-likelihood of a text. Our weights of a Q4_1 file are rounded to half precision.
//!
//! The file is 98 MB, so the test runs only where `BITBENCH_TEST_SMOLLM2` names it.

use bitbench_engine::cpu::Cpu;
use bitbench_engine::kernels::{self, Family};
use bitbench_engine::model::gguf::Gguf;
use bitbench_engine::model::{LoadOptions, Model};
use bitbench_engine::network::Network;
use bitbench_engine::session::{Session, greedy};
use bitbench_engine::tokenizer::Tokenizer;
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;

/// Where the two best logits are closer than this, other rounding may choose the other. One of the ten prompts has such a
/// place, at 0.0056; logits of this model are some ten units wide.
const NEAR_TIE: f32 = 0.02;
/// Relative difference of the negative log-likelihood; at most 0.006 % was seen, over three texts.
const LIKELIHOOD_BOUND: f64 = 2e-4;

#[derive(Deserialize)]
struct Reference {
    prompts: Vec<Prompt>,
    text: String,
    text_ids: Vec<u32>,
    text_nll: f64,
}

#[derive(Deserialize)]
struct Prompt {
    text: String,
    ids: Vec<u32>,
    greedy: Vec<u32>,
    margins: Vec<f32>,
}

#[test]
fn smollm2_says_what_llama_cpp_says() {
    let Some(path) = std::env::var_os("BITBENCH_TEST_SMOLLM2") else {
        println!(
            "skipped: BITBENCH_TEST_SMOLLM2 names no file; scripts/fetch-models downloads one"
        );
        return;
    };
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/smollm2-llamacpp.json");
    let stored = std::fs::read(stored).expect("a fixture of this repository");
    let reference: Reference = serde_json::from_slice(&stored).expect("the fixture's format");
    let gguf = Gguf::open(path).expect("SmolLM2");
    let model = Model::from_gguf(&gguf, LoadOptions::default()).expect("a Llama");
    let tokenizer = Tokenizer::from_gguf(&gguf)
        .expect("a tokenizer that is known")
        .expect("a tokenizer");
    let cpu = Cpu::detect();
    let kernel = kernels::best(Family::F16, &cpu);
    let network = Network::pack(&model, kernel, &cpu).expect("half precision");
    let mut session = Session::new(Arc::new(network), 2, 1024).expect("a session");

    let mut compared = 0;
    for prompt in &reference.prompts {
        assert_eq!(tokenizer.encode(&prompt.text).expect("a text"), prompt.ids);
        session.truncate(0);
        let mut input = prompt.ids.clone();
        for (at, (expected, margin)) in prompt.greedy.iter().zip(&prompt.margins).enumerate() {
            let token = greedy(session.run(&input).expect("a token"));
            if token != *expected {
                assert!(
                    *margin < NEAR_TIE,
                    "{:?}: token {at} is {token}, llama.cpp's {expected} was {margin} above the next",
                    prompt.text
                );
                println!("{:?}: parts at token {at}, a tie of {margin}", prompt.text);
                break;
            }
            compared += 1;
            input = vec![token];
        }
    }
    let all: usize = reference.prompts.iter().map(|p| p.greedy.len()).sum();
    println!(
        "{compared} of {all} greedy tokens compared and equal, {}",
        kernel.name
    );
    assert!(
        compared > all / 2,
        "only {compared} of {all} tokens compared"
    );

    let ids = tokenizer.encode(&reference.text).expect("a text");
    assert_eq!(ids, reference.text_ids);
    session.truncate(0);
    let logits = session.run_all(&ids).expect("a prompt");
    let vocab = logits.len() / ids.len();
    let likelihood: f64 = (logits.chunks(vocab).zip(&ids[1..]))
        .map(|(logits, token)| surprise(logits, *token))
        .sum();
    let difference = likelihood / reference.text_nll - 1.0;
    println!(
        "negative log-likelihood {likelihood:.3}, off by {:+.4} %",
        100.0 * difference
    );
    assert!(
        difference.abs() < LIKELIHOOD_BOUND,
        "{likelihood}, not {}",
        reference.text_nll
    );
}

/// -ln of the probability of a token.
fn surprise(logits: &[f32], token: u32) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|l| f64::from(l - largest).exp()).sum();
    sum.ln() - f64::from(logits[token as usize] - largest)
}
