//! The guide for application developers quotes the example as it is.

const GUIDE: &str = include_str!("../../docs/testing-your-application.md");
const EXAMPLE: &str = include_str!("../examples/shared_todos.rs");

#[test]
fn the_guide_quotes_the_example() {
    for part in ["application", "scenario"] {
        let (_, rest) = EXAMPLE.split_once(&format!("// ANCHOR: {part}\n")).expect("the part begins");
        let (quoted, _) = rest.split_once(&format!("// ANCHOR_END: {part}")).expect("the part ends");
        assert!(GUIDE.contains(quoted), "docs/testing-your-application.md: quote the {part} anew:\n{quoted}");
    }
}
