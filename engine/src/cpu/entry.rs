//! The way from safe code into functions that are compiled for an instruction set.

use super::Feature;

/// `entry!(Proof, function, (argument: Type, ...) -> Result)`: a safe function that calls a `#[target_feature]` function, the
/// proof first, then the arguments.
///
/// It is sound because nobody has a proof without the features, and the function can enable no more than those: the compiler
/// accepts a call to it only where all of its features are enabled, and here it is made where those of the proof are, alone.
#[expect(unused_macro_rules, reason = "each architecture uses its own")]
macro_rules! entry {
    (Avx2, $($rest:tt)+) => { $crate::cpu::entry!(@ "avx2", Avx2, $($rest)+) };
    (Avx2F16c, $($rest:tt)+) => { $crate::cpu::entry!(@ "avx2,fma,f16c", Avx2F16c, $($rest)+) };
    (AvxVnni, $($rest:tt)+) => { $crate::cpu::entry!(@ "avx2,avxvnni", AvxVnni, $($rest)+) };
    (Avx512, $($rest:tt)+) => { $crate::cpu::entry!(@ "avx2,fma,f16c,avx512f,avx512bw", Avx512, $($rest)+) };
    (Avx512Vnni, $($rest:tt)+) => { $crate::cpu::entry!(@ "avx2,avx512f,avx512bw,avx512vnni", Avx512Vnni, $($rest)+) };
    (Avx512Vbmi, $($rest:tt)+) => { $crate::cpu::entry!(@ "avx2,avx512f,avx512bw,avx512vbmi,avx512vnni", Avx512Vbmi, $($rest)+) };
    (Avx512Bf16, $($rest:tt)+) => { $crate::cpu::entry!(@ "avx2,fma,f16c,avx512f,avx512bw,avx512bf16", Avx512Bf16, $($rest)+) };
    (Neon, $($rest:tt)+) => { $crate::cpu::entry!(@ "neon", Neon, $($rest)+) };
    (NeonFp16, $($rest:tt)+) => { $crate::cpu::entry!(@ "neon,fp16", NeonFp16, $($rest)+) };
    (NeonDotprod, $($rest:tt)+) => { $crate::cpu::entry!(@ "neon,dotprod", NeonDotprod, $($rest)+) };
    (NeonI8mm, $($rest:tt)+) => { $crate::cpu::entry!(@ "neon,dotprod,i8mm", NeonI8mm, $($rest)+) };

    (@ $features:literal, $proof:ident, $function:path, ($($argument:ident: $type:ty),*) $(-> $result:ty)?) => {{
        #[expect(unsafe_code, reason = "the call across the target-feature boundary")]
        fn enter(proof: $crate::cpu::$proof, $($argument: $type),*) $(-> $result)? {
            #[target_feature(enable = $features)]
            fn inside(proof: $crate::cpu::$proof, $($argument: $type),*) $(-> $result)? {
                $function(proof, $($argument),*)
            }
            const { assert!($crate::cpu::entry::names($features, $crate::cpu::$proof::FEATURES)) }
            // SAFETY: `proof` exists only where its features were detected, and these are enabled in `inside`.
            unsafe { inside(proof, $($argument),*) }
        }
        enter as fn($crate::cpu::$proof, $($type),*) $(-> $result)?
    }};
}

pub(crate) use entry;

/// Whether `list`, as `#[target_feature]` takes it, names exactly these features in this order.
pub(crate) const fn names(list: &str, features: &[Feature]) -> bool {
    let mut rest = list.as_bytes();
    let mut index = 0;
    while index < features.len() {
        let name = features[index].name().as_bytes();
        let Some((mut head, tail)) = rest.split_at_checked(name.len()) else {
            return false;
        };
        let mut expected = name;
        while let ([a, more @ ..], [b, others @ ..]) = (head, expected) {
            if *a != *b {
                return false;
            }
            (head, expected) = (more, others);
        }
        index += 1;
        rest = match tail {
            [b',', rest @ ..] if index < features.len() => rest,
            [] if index == features.len() => tail,
            _ => return false,
        };
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_all_features_and_no_more() {
        let features = [Feature::Avx2, Feature::Fma];
        assert!(names("avx2,fma", &features));
        assert!(names("", &[]));
        for other in [
            "",
            "avx2",
            "avx2,",
            "avx2,fma,",
            "avx2,fma,f16c",
            "fma,avx2",
            "avx2 fma",
            "avx2,fmb",
        ] {
            assert!(!names(other, &features), "{other}");
        }
    }
}
