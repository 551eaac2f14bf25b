//! Conversations written as a model expects them, by the template that its file or folder carries.
//!
//! Templates are in the language of Jinja, with the settings of transformers' `apply_chat_template`. They are programs out of
//! a file, and taken for hostile: what they may do and how much they may write is bounded, and they see neither the machine
//! nor the time, so that a prompt is the same tokens every day.

use bitbench_engine::tokenizer::Tokenizer;
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Longest template, in bytes; those known have up to some twenty thousand.
const LONGEST_TEMPLATE: usize = 1 << 20;
/// Steps of a template, where 64 bytes written count as one: 32 million bytes at most.
const FUEL: u64 = 500_000;
/// Depth of macros and includes; the engine uses the stack for each.
const DEEPEST: usize = 64;

/// How long a template may take; those known take a few thousandths of a second.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of stack: nested expressions are parsed by recursion.
const STACK: usize = 16 << 20;

/// What somebody says.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    role: &'a str,
    content: &'a str,
}

impl<'a> Message<'a> {
    /// What the user says.
    pub fn user(content: &'a str) -> Self {
        let role = "user";
        Message { role, content }
    }

    /// What is said before the conversation.
    pub fn system(content: &'a str) -> Self {
        let role = "system";
        Message { role, content }
    }
}

/// Why a conversation cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChatError {
    /// The model has no template.
    #[error("the model has no chat template; give the whole text as --prompt, without --chat")]
    NoTemplate,
    /// The template failed, or refused the conversation.
    #[error("the chat template: {0}")]
    Template(String),
}

/// Writes a conversation, and the beginning of the answer, with the template of the model.
///
/// # Errors
/// See [`ChatError`].
pub fn render(tokenizer: &Tokenizer, messages: &[Message<'_>]) -> Result<String, ChatError> {
    let template = tokenizer.chat_template().ok_or(ChatError::NoTemplate)?;
    let text = |token: Option<u32>| token.map(|token| tokenizer.decode(&[token]));
    let [bos, eos] = [tokenizer.bos(), tokenizer.eos()].map(text);
    render_template(template, messages, bos.as_deref(), eos.as_deref())
}

/// Writes a conversation with this template; `bos` and `eos` are the texts of these tokens, where the model has them.
///
/// # Errors
/// [`ChatError::Template`].
pub fn render_template(
    template: &str,
    messages: &[Message<'_>],
    bos: Option<&str>,
    eos: Option<&str>,
) -> Result<String, ChatError> {
    if template.len() > LONGEST_TEMPLATE {
        return Err(ChatError::Template(format!(
            "it has {} bytes, and {LONGEST_TEMPLATE} are the most",
            template.len()
        )));
    }
    let message = |m: &Message<'_>| context! { role => m.role, content => m.content };
    let messages: Vec<Value> = messages.iter().map(message).collect();
    let defined = |text: Option<&str>| text.map_or(Value::UNDEFINED, Value::from);
    let context = context! {
        messages,
        add_generation_prompt => true,
        bos_token => defined(bos),
        eos_token => defined(eos),
    };
    let template = template.to_owned();
    let (sender, receiver) = mpsc::channel();
    // Fuel does not count what lists of lists of lists take, in time or in memory. A thread that does not end in time is left
    // behind, to end with the program.
    thread::Builder::new()
        .name("chat template".into())
        .stack_size(STACK)
        .spawn(move || sender.send(run(&template, context)))
        .map_err(|error| ChatError::Template(error.to_string()))?;
    match receiver.recv_timeout(PATIENCE) {
        Ok(rendered) => rendered.map_err(|error| ChatError::Template(describe(&error))),
        Err(_) => Err(ChatError::Template(format!(
            "it did not end within {} s",
            PATIENCE.as_secs()
        ))),
    }
}

fn run(template: &str, context: Value) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEEPEST);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()?;
    environment.set_syntax(syntax);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.add_function(
        "raise_exception",
        |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        },
    );
    environment.render_str(template, context)
}

/// What went wrong, in a line.
fn describe(error: &Error) -> String {
    let text = match error.line() {
        Some(line) => format!("{error} (line {line})"),
        None => error.to_string(),
    };
    let inert = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(500).map(inert).collect()
}
