//! What a cell must say: words as they are, and numbers by the page's rules of rounding.

/// A text with numbers that were derived.
#[derive(Debug, Clone, Default)]
pub(super) struct Says(Vec<Part>);

#[derive(Debug, Clone)]
enum Part {
    Words(String),
    /// A derived number, and how many decimals it may have: two where it lies between two rules.
    Number(f64, Vec<usize>),
    /// The number of a note below the table.
    Note,
    /// Words that no number can be in the place of.
    Anything,
}

impl Says {
    pub(super) fn nothing() -> Says {
        Says::default()
    }

    pub(super) fn words(words: impl Into<String>) -> Says {
        Says(vec![Part::Words(words.into())])
    }

    /// A cell of words, which are of the plan and not measured.
    pub(super) fn anything() -> Says {
        Says(vec![Part::Anything])
    }

    /// A number with that many decimals at most, and four digits at most where it has decimals.
    pub(super) fn number(value: f64, most: usize) -> Says {
        let near = [value * (1.0 - 1e-9), value * (1.0 + 1e-9)];
        let mut decimals: Vec<usize> = near
            .map(|v| most.min(4_usize.saturating_sub(digits(v))))
            .to_vec();
        decimals.dedup();
        Says(vec![Part::Number(value, decimals)])
    }

    /// A number with so many decimals.
    pub(super) fn fixed(value: f64, decimals: usize) -> Says {
        Says(vec![Part::Number(value, vec![decimals])])
    }

    pub(super) fn count(value: usize) -> Says {
        Says::fixed(value as f64, 0)
    }

    /// `±0.4%`: two digits at least, of a share in percent.
    pub(super) fn spread(percent: f64) -> Says {
        let near = [percent * (1.0 - 1e-9), percent * (1.0 + 1e-9)];
        let mut decimals = near.map(|p| if p < 9.95 { 1 } else { 0 }).to_vec();
        decimals.dedup();
        Says::words("±")
            .and(Says(vec![Part::Number(percent, decimals)]))
            .and_words("%")
    }

    pub(super) fn note() -> Says {
        Says(vec![Part::Note])
    }

    pub(super) fn and(mut self, other: Says) -> Says {
        self.0.extend(other.0);
        self
    }

    pub(super) fn and_words(self, words: impl Into<String>) -> Says {
        self.and(Says::words(words))
    }

    /// These with a comma between them.
    pub(super) fn list(items: Vec<Says>) -> Says {
        let mut list = Says::nothing();
        for (number, item) in items.into_iter().enumerate() {
            if number > 0 {
                list = list.and_words(", ");
            }
            list = list.and(item);
        }
        list
    }

    /// Whether there is a derived number in it.
    pub(super) fn derived(&self) -> usize {
        let numbers = self.0.iter();
        numbers
            .filter(|part| matches!(part, Part::Number(..)))
            .count()
    }

    /// Holds a text against it; what differs.
    pub(super) fn differs(&self, text: &str) -> Option<String> {
        let mut rest = text;
        for part in &self.0 {
            match part {
                Part::Anything => {
                    return rest
                        .parse::<f64>()
                        .is_ok()
                        .then(|| format!("`{text}` is a number that nobody derived"));
                }
                Part::Words(words) => match rest.strip_prefix(words.as_str()) {
                    Some(after) => rest = after,
                    None => return Some(format!("`{rest}` of `{text}` should be `{words}`")),
                },
                Part::Note => {
                    let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
                    if after.len() == rest.len() {
                        return Some(format!("no number of a note at `{rest}` of `{text}`"));
                    }
                    rest = after;
                }
                Part::Number(value, decimals) => {
                    let (number, after) = leading(rest);
                    if !shows(number, *value, decimals) {
                        return Some(format!("`{number}` of `{text}` should be {value}"));
                    }
                    rest = after;
                }
            }
        }
        (!rest.is_empty()).then(|| format!("`{rest}` of `{text}` is more than was derived"))
    }

    /// Holds the numbers of a sentence against those in it, in their order; of the words, none.
    pub(super) fn numbers_differ(&self, sentence: &str) -> Option<String> {
        let mut found = numbers(sentence).into_iter();
        for part in &self.0 {
            let Part::Number(value, decimals) = part else {
                continue;
            };
            match found.next() {
                Some(number) if shows(number, *value, decimals) => {}
                other => return Some(format!("{other:?} of `{sentence}` should be {value}")),
            }
        }
        let more: Vec<&str> = found.collect();
        (!more.is_empty()).then(|| format!("nobody derived {more:?} of `{sentence}`"))
    }
}

/// Digits before the point, none below one.
fn digits(value: f64) -> usize {
    let (mut rest, mut digits) = (value.abs(), 0);
    while rest >= 1.0 {
        rest /= 10.0;
        digits += 1;
    }
    digits
}

/// Whether a number is a value rounded to one of these numbers of decimals.
fn shows(number: &str, value: f64, decimals: &[usize]) -> bool {
    let has = number.split_once('.').map_or(0, |(_, after)| after.len());
    let Ok(shown) = number.parse::<f64>() else {
        return false;
    };
    let step = 10_f64.powi(-i32::try_from(has).unwrap());
    decimals.contains(&has) && (shown - value).abs() <= step / 2.0 + value.abs() * 1e-9
}

/// The number that a text begins with, and the rest.
fn leading(text: &str) -> (&str, &str) {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut end = usize::from(bytes.first() == Some(&b'-'));
    while digit(end) {
        end += 1;
    }
    if bytes.get(end) == Some(&b'.') && digit(end + 1) {
        end += 1;
        while digit(end) {
            end += 1;
        }
    }
    text.split_at(end)
}

/// Every number of a sentence that is no part of a word.
fn numbers(sentence: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = sentence;
    let mut inside = false;
    while let Some(c) = rest.chars().next() {
        let begins =
            c.is_ascii_digit() || c == '-' && rest[1..].starts_with(|c: char| c.is_ascii_digit());
        if begins && !inside {
            let (number, after) = leading(rest);
            found.push(number);
            rest = after;
            continue;
        }
        inside = c.is_alphanumeric() || c == '-';
        rest = &rest[c.len_utf8()..];
    }
    found
}

#[test]
fn a_wrong_digit_is_seen() {
    let cell = Says::number(48.192, 2)
        .and_words(" (")
        .and(Says::number(3.745, 2))
        .and_words("x)");
    assert_eq!(cell.differs("48.19 (3.75x)"), None);
    // Between two roundings either will do.
    assert_eq!(cell.differs("48.19 (3.74x)"), None);
    for wrong in [
        "48.18 (3.75x)",
        "48.2 (3.75x)",
        "48.192 (3.75x)",
        "48.19 (3.76x)",
        "48.19",
        "48.19 (3.75x) 1",
    ] {
        assert!(cell.differs(wrong).is_some(), "{wrong}");
    }
    assert_eq!(
        numbers("i2s-avx2 lies -1.5 % from 20, of 3"),
        ["-1.5", "20", "3"]
    );
    let sentence = Says::fixed(-1.5, 1).and(Says::count(20));
    assert_eq!(sentence.numbers_differ("lies -1.5 % from 20."), None);
    assert!(
        sentence
            .numbers_differ("lies -1.5 % from 20, of 3")
            .is_some()
    );
    assert!(sentence.numbers_differ("lies -1.6 % from 20").is_some());
    assert!(Says::anything().differs("3.5").is_some());
}
