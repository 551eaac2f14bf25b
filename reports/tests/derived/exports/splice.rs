//! A table inside another file: only what stands between the markers changes.

use super::stored::STORED;
use bitbench_reports::render::markdown;
use bitbench_reports::report::Report;
use bitbench_reports::splice::{MarkerProblem, SpliceError, splice, spliced};
use std::fs;
use std::os::unix::fs::PermissionsExt;

const BEGIN: &str = "<!-- bitbench:begin x86 -->";
const END: &str = "<!-- bitbench:end x86 -->";

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn what_stands_between_the_markers_is_replaced() {
    for (before, after) in [
        (
            format!("# A\n\n{BEGIN}\nold\n\nolder\n{END}\nrest"),
            format!("# A\n\n{BEGIN}\nnew\n\ntable\n{END}\nrest"),
        ),
        // Nothing before, nothing between, nothing after; marks may be indented.
        (
            format!("{BEGIN}\n{END}"),
            format!("{BEGIN}\nnew\n\ntable\n{END}"),
        ),
        (
            format!("  {BEGIN} \nold\n\t{END}\n"),
            format!("  {BEGIN} \nnew\n\ntable\n\t{END}\n"),
        ),
        // Other names, and words about markers in a line, are left alone.
        (
            format!(
                "`{BEGIN}` begins\n<!-- bitbench:begin x86-2 -->\n{BEGIN}\n{END}\n<!-- bitbench:end x86-2 -->\n"
            ),
            format!(
                "`{BEGIN}` begins\n<!-- bitbench:begin x86-2 -->\n{BEGIN}\nnew\n\ntable\n{END}\n<!-- bitbench:end x86-2 -->\n"
            ),
        ),
        // The line ends of the file are kept.
        (
            format!("a\r\n{BEGIN}\r\nold\r\n{END}\r\nb\n"),
            format!("a\r\n{BEGIN}\r\nnew\r\n\r\ntable\r\n{END}\r\nb\n"),
        ),
    ] {
        let once = spliced(before.as_bytes(), "x86", "new\n\ntable\n\n").unwrap();
        assert_eq!(text(once.clone()), after);
        // And again the same.
        assert_eq!(spliced(&once, "x86", "new\n\ntable").unwrap(), once);
    }
}

#[test]
fn bytes_that_are_no_text_stay() {
    let mut file = vec![0xff, 0, b'\r', b'\n', 0xc3];
    file.extend_from_slice(format!("\n{BEGIN}\n\u{7f}\n{END}\n").as_bytes());
    file.extend_from_slice(&[0xfe, b'\n', b'\n', 0]);
    let new = spliced(&file, "x86", "new").unwrap();
    assert!(new.starts_with(&[0xff, 0, b'\r', b'\n', 0xc3, b'\n']));
    assert!(new.ends_with(&[b'\n', 0xfe, b'\n', b'\n', 0]));
}

#[test]
fn markers_that_are_not_right_are_named_with_their_lines() {
    let problem = |file: &str| spliced(file.as_bytes(), "x86", "new").unwrap_err();
    let missing = |which: &str| MarkerProblem::Missing(which.to_owned(), "x86".to_owned());
    assert_eq!(problem(""), missing(BEGIN));
    assert_eq!(problem(&format!("{BEGIN}\nold\n")), missing(END));
    assert_eq!(problem(&format!("{END}\n")), missing(BEGIN));
    assert_eq!(
        problem(&format!("{END}\nold\n{BEGIN}\n")),
        MarkerProblem::WrongOrder { begin: 3, end: 1 }
    );
    assert_eq!(
        problem(&format!("{BEGIN}\n{END}\n\n{BEGIN}\n{END}\n")),
        MarkerProblem::Doubled(BEGIN.to_owned(), 1, 4)
    );
    assert_eq!(
        problem(&format!("{BEGIN}\n{END}\n{END}\n")),
        MarkerProblem::Doubled(END.to_owned(), 2, 3)
    );
    let words = problem("").to_string();
    assert!(words.contains(BEGIN) && words.contains(END), "{words}");
}

#[test]
fn the_file_keeps_its_mode_and_its_link_and_is_untouched_by_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("README.md");
    let link = folder.path().join("link.md");
    let content = format!("# A\n{BEGIN}\nold\n{END}\n");
    fs::write(&file, &content).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("README.md", &link).unwrap();
    for name in ["", "x 86", "x86 -->", "a--b", "../x"] {
        let error = splice(&file, name, "new").unwrap_err();
        assert!(matches!(error, SpliceError::Name(_)), "{error}");
    }
    let error = splice(&file, "arm", "new").unwrap_err().to_string();
    assert!(
        error.contains("README.md") && error.contains("bitbench:begin arm"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), content);
    let error = splice(&folder.path().join("gone.md"), "x86", "new").unwrap_err();
    assert!(matches!(error, SpliceError::Read { .. }), "{error}");

    splice(&link, "x86", "new").unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        content.replace("old", "new")
    );
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o640
    );
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 2);
}

#[test]
fn the_tables_of_every_stored_run_are_these() {
    for stored in &STORED {
        let excerpt = markdown::excerpt(&Report::new(&stored.read()));
        insta::assert_snapshot!(format!("{}_excerpt.md", stored.folder), excerpt);
    }
}
