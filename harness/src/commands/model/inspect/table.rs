//! What `bitbench model inspect` found, on a terminal of 80 columns.

use super::{Contents, KernelFacts, TensorFacts};

const WIDTH: usize = 80;
/// Width of what stands before the text of a fact.
const LABEL: usize = 15;

/// Width of the names of tensors; a longer one has a line of its own.
const NAME: usize = 31;

/// Prints it.
pub(super) fn print(contents: &Contents) {
    fact("file", &contents.path.display().to_string());
    let container = format!("{}, {}", contents.container, size(contents.file_bytes));
    fact("", &container);
    fact("name", contents.name.as_deref().unwrap_or("none"));
    fact(
        "architecture",
        contents.architecture.as_deref().unwrap_or("not stated"),
    );
    let parameters = contents.hyperparameters.iter();
    let parameters: Vec<String> = parameters
        .map(|(key, value)| format!("{key} {value}"))
        .collect();
    fact("", &parameters.join(", "));
    match &contents.tokenizer {
        None => fact("tokenizer", "none"),
        Some(tokenizer) => {
            let mut text = tokenizer.kind.clone();
            if let Some(pre) = &tokenizer.pre {
                text.push_str(&format!(" ({pre})"));
            }
            if let Some(tokens) = tokenizer.tokens {
                text.push_str(&format!(", {tokens} tokens"));
            }
            fact("tokenizer", &text);
        }
    }
    fact(
        "chat template",
        if contents.chat_template {
            "present"
        } else {
            "none"
        },
    );
    say!("");
    say!(
        "{:<NAME$}{:>15} {:<8}{:>9}{:>8}{:>8}",
        "tensor",
        "shape",
        "type",
        "bytes",
        "bits/w",
        "decode"
    );
    contents.tensors.iter().for_each(print_tensor);
    say!(
        "{:<NAME$}{:>15} {:<8}{:>9}{:>8.2}{:>8}",
        format!("{} tensors", contents.tensors.len()),
        "",
        "",
        size(contents.weights_bytes),
        contents.bits_per_weight,
        "100.0 %"
    );
    say!("");
    fact(
        "decode",
        &format!(
            "a step reads {} of weights as they are stored: its share of each tensor is in the table",
            size(contents.decode_bytes)
        ),
    );
    if let Some(reason) = &contents.does_not_run {
        return fact("kernels", &format!("none: {reason}"));
    }
    match &contents.not_ternary {
        None => fact("weights", "ternary: every kernel runs them"),
        Some(reason) => fact("weights", &format!("not ternary: {reason}")),
    }
    let names = |here: bool| {
        let kernels = contents.kernels.iter();
        let names: Vec<&str> = kernels
            .filter(|kernel: &&KernelFacts| kernel.cpu_lacks.is_none() == here)
            .map(|kernel| kernel.name)
            .collect();
        names.join(", ")
    };
    fact("kernels here", &names(true));
    fact("on other CPUs", &names(false));
}

fn print_tensor(tensor: &TensorFacts) {
    let shape: Vec<String> = tensor.shape.iter().map(u64::to_string).collect();
    let mut name: String = tensor.name.chars().take(WIDTH).collect();
    if name.chars().count() >= NAME {
        say!("{name}");
        name.clear();
    }
    say!(
        "{name:<NAME$}{:>15} {:<8}{:>9}{:>8.2}{:>6.1} %",
        shape.join("x"),
        tensor.format,
        size(tensor.bytes),
        tensor.bits_per_weight,
        100.0 * tensor.decode_share
    );
}

/// A label and a text, broken at spaces into lines that fit.
fn fact(label: &str, text: &str) {
    let mut line = format!("{label:<LABEL$}");
    let mut empty = true;
    for word in text.split_whitespace() {
        let room = WIDTH.saturating_sub(line.chars().count());
        if !empty && word.chars().count() + 1 > room {
            say!("{line}");
            line = " ".repeat(LABEL);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    if !empty {
        say!("{line}");
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        ..1e3 => format!("{bytes} B"),
        ..1e6 => format!("{:.1} kB", bytes / 1e3),
        ..1e9 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.2} GB", bytes / 1e9),
    }
}
