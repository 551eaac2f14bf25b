//! Single layers as models: `ROWSxCOLUMNS`, such as `6912x2560`.

/// Most tokens that a single layer is multiplied by at a time: the check writes the products of each.
pub const LARGEST_TOKENS: u32 = 1024;

/// Largest number of rows or columns, far above every published layer.
const LARGEST_SIDE: usize = 1 << 17;

/// The shape of one linear layer, to measure a kernel on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerShape {
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
}

/// The shape that a name stands for: rows (outputs), `x`, columns (inputs).
pub fn layer_shape(name: &str) -> Option<LayerShape> {
    let (rows, cols) = name.split_once('x')?;
    let side = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let side = digits.then(|| text.parse().ok()).flatten()?;
        (1..=LARGEST_SIDE).contains(&side).then_some(side)
    };
    Some(LayerShape {
        rows: side(rows)?,
        cols: side(cols)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_two_numbers_and_an_x() {
        let shape = LayerShape {
            rows: 6912,
            cols: 2560,
        };
        assert_eq!(layer_shape("6912x2560"), Some(shape));
        for other in [
            "",
            "x",
            "1x",
            "x1",
            "0x8",
            "8x0",
            "6912X2560",
            "6912x2560x2",
            "+1x2",
            "1 x 2",
            "131073x8",
            "2B4T",
            "99999999999999999999999x8",
        ] {
            assert_eq!(layer_shape(other), None, "{other}");
        }
    }
}
