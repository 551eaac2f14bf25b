//! The pair in the binary: it gives the figures that its own training found (`suites/pair/*.json`), on every kernel.

use bitbench::{models, pair};
use bitbench_engine::cpu::Cpu;
use bitbench_engine::kernels::{self, KernelVariant, VARIANTS};
use bitbench_engine::network::Network;
use bitbench_engine::session::Session;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// Positions of the context.
const WINDOW: usize = 256;
/// Logits this close may change places.
const NEAR_TIE: f32 = 0.05;

/// What PyTorch found for one of the two.
struct Account {
    windows: usize,
    nats_per_token: f64,
    prompt_ids: Vec<u32>,
    greedy_ids: Vec<u32>,
}

fn account(kind: &str) -> Account {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../suites/pair/{kind}.json"));
    let text = std::fs::read_to_string(path).expect("a file of this repository");
    let json: Value = serde_json::from_str(&text).expect("JSON");
    let ids = |key: &str| -> Vec<u32> {
        let ids = json[key].as_array().expect("a list").iter();
        ids.map(|id| u32::try_from(id.as_u64().expect("an id")).expect("an id"))
            .collect()
    };
    Account {
        windows: usize::try_from(json["piece_windows"].as_u64().expect("a number")).expect("few"),
        nats_per_token: json["piece_nats_per_token"].as_f64().expect("a number"),
        prompt_ids: ids("prompt_ids"),
        greedy_ids: ids("greedy_ids"),
    }
}

fn session(name: &str, kernel: &'static KernelVariant) -> Session {
    let opened = models::open(Path::new(name), false).expect("the pair loads");
    let network = Network::pack(&opened.model, kernel, &Cpu::detect()).expect("the pair packs");
    Session::new(Arc::new(network), 2, WINDOW).expect("a session")
}

/// Logits of the windows of a text, each from an empty cache, and the mean negative log-likelihood of what
/// the second half of each predicts.
fn measure(session: &mut Session, windows: &[&[u32]]) -> (Vec<f32>, f64) {
    let vocab = session.network().config().vocab;
    let (mut all, mut nats, mut count) = (Vec::new(), 0.0, 0.0);
    for window in windows {
        session.truncate(0);
        let logits = session.run_all(window).expect("a window");
        let predicted = logits.chunks_exact(vocab).zip(&window[1..]);
        for (row, next) in predicted.skip(WINDOW / 2) {
            let largest = f64::from(row.iter().copied().fold(f32::MIN, f32::max));
            let sum: f64 = row.iter().map(|v| (f64::from(*v) - largest).exp()).sum();
            nats += largest + sum.ln() - f64::from(row[*next as usize]);
            count += 1.0;
        }
        all.extend(logits);
    }
    (all, nats / count)
}

fn held_out_ids(name: &str) -> Vec<u32> {
    let opened = models::open(Path::new(name), false).expect("the pair loads");
    let tokenizer = opened.tokenizer().expect("the pair has a tokenizer");
    let ids = tokenizer.encode(pair::held_out()).expect("a text");
    assert_eq!(tokenizer.decode(&ids), pair::held_out());
    ids
}

/// Variants of these families that this CPU runs.
fn variants(ternary: bool) -> impl Iterator<Item = &'static KernelVariant> {
    let cpu = Cpu::detect();
    let variants = VARIANTS.iter().copied();
    variants
        .filter(move |variant| variant.family.is_ternary() == ternary)
        .filter(move |variant| match cpu.require(variant.requires) {
            Ok(()) => true,
            Err(missing) => {
                eprintln!("{} is left out: {missing}", variant.name);
                let all = std::env::var_os("BITBENCH_TEST_EVERY_VARIANT").is_some();
                assert!(!all, "{} is left out: {missing}", variant.name);
                false
            }
        })
}

/// Keys and values are in half precision here and in single precision there, and a value next to the border of two 8-bit
/// integers may fall on either side.
const NATS: f64 = 5e-3;

#[test]
fn ternary_kernels_give_the_loss_that_training_found_and_the_same_logits() {
    let account = account("ternary");
    let ids = held_out_ids(pair::TERNARY);
    let windows: Vec<&[u32]> = ids.chunks(WINDOW).take(account.windows).collect();
    let mut first: Option<Vec<f32>> = None;
    for variant in variants(true) {
        let (logits, nats) = measure(&mut session(pair::TERNARY, variant), &windows);
        let off = nats - account.nats_per_token;
        eprintln!("{}: {nats:.5} nats a token, {off:+.1e}", variant.name);
        assert!(off.abs() < NATS, "{}: {off}", variant.name);
        let first = first.get_or_insert_with(|| logits.clone());
        let differs = first
            .iter()
            .zip(&logits)
            .position(|(a, b)| a.to_bits() != b.to_bits());
        assert_eq!(differs, None, "{}", variant.name);
    }
}

#[test]
fn half_precision_kernels_give_the_loss_that_training_found() {
    let account = account("f16");
    let ids = held_out_ids(pair::F16);
    let windows: Vec<&[u32]> = ids.chunks(WINDOW).take(account.windows).collect();
    for variant in variants(false) {
        let (_, nats) = measure(&mut session(pair::F16, variant), &windows);
        let off = nats - account.nats_per_token;
        eprintln!("{}: {nats:.5} nats a token, {off:+.1e}", variant.name);
        assert!(off.abs() < NATS, "{}: {off}", variant.name);
    }
}

/// The first token may differ where two are nearly as probable; from there on the texts may be different ones.
#[test]
fn the_most_probable_tokens_are_those_that_training_found() {
    for (kind, name, kernel) in [
        ("ternary", pair::TERNARY, "i2s-scalar"),
        ("f16", pair::F16, "f16-scalar"),
    ] {
        let account = account(kind);
        let kernel = kernels::find(kernel).expect("a variant");
        let mut session = session(name, kernel);
        let mut logits = session.run(&account.prompt_ids).expect("a prompt").to_vec();
        for (place, token) in account.greedy_ids.iter().enumerate() {
            let largest = logits.iter().copied().fold(f32::MIN, f32::max);
            let margin = largest - logits[*token as usize];
            if margin > 0.0 {
                eprintln!("{kind}: token {place} is another, by {margin}");
                assert!(margin < NEAR_TIE, "{kind}: token {place}, by {margin}");
                break;
            }
            logits = session.run(&[*token]).expect("a token").to_vec();
        }
    }
}
