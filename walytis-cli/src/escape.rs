//! What of a text a terminal, or whoever reads it there, could be deceived by, and the text without it.

use std::fmt::Write as _;

use icu_properties::props::{
    CanonicalCombiningClass, DefaultIgnorableCodePoint, EmojiModifier, ExtendedPictographic, GeneralCategory,
    JoiningType, PrependedConcatenationMark,
};
use icu_properties::{CodePointMapData, CodePointSetData};

/// ZERO WIDTH NON-JOINER.
const NON_JOINER: char = '\u{200C}';
/// ZERO WIDTH JOINER.
const JOINER: char = '\u{200D}';
/// Asks for the coloured form of a pictograph.
const EMOJI_SELECTOR: char = '\u{FE0F}';

/// The text for a terminal: line breaks and tabs stay, whatever else would move the cursor, change the direction of
/// writing, or be there without being seen is written as `\u{...}`.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        if !matches!(character, '\n' | '\t') && deceives(text, at, character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// The same in one line: of line breaks and tabs, too, it is seen that they are there. For all that stands beside something
/// else, so that nobody who chose a name or an address writes lines of ours.
pub(crate) fn printable_line(text: &str) -> String {
    printable(text).replace('\n', "\\n").replace('\t', "\\t")
}

/// JSON for a terminal: the same value, with the characters of [`printable`] written as JSON's own escapes. In JSON
/// such characters are inside strings alone.
pub(crate) fn printable_json(json: String) -> String {
    if json.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return json;
    }
    let mut shown = String::with_capacity(json.len());
    for (at, character) in json.char_indices() {
        if deceives(&json, at, character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Whether the character, which stands at this byte of the text, acts upon a terminal or hides from its reader.
///
/// These are controls (Cc), formats (Cf), the separators of lines and paragraphs (Zl, Zp), and letters and marks that
/// Unicode shows as nothing (`Default_Ignorable_Code_Point`). Not among them: marks that are seen, such as the Arabic
/// signs that stand before a number; selectors of variants behind what they select; and joiners where a script or a
/// pictograph needs them.
fn deceives(text: &str, at: usize, character: char) -> bool {
    if matches!(character, ' '..='~') {
        return false;
    }
    match CodePointMapData::<GeneralCategory>::new().get(character) {
        GeneralCategory::Control | GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator => true,
        GeneralCategory::Format if matches!(character, JOINER | NON_JOINER) => !joins(text, at, character),
        GeneralCategory::Format => !CodePointSetData::new::<PrependedConcatenationMark>().contains(character),
        GeneralCategory::NonspacingMark => is_ignorable(character) && !selects(text, at),
        _ => is_ignorable(character),
    }
}

fn is_ignorable(character: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
}

/// Whether a mark that is not seen has something that is seen before it, of which it selects a variant.
fn selects(text: &str, at: usize) -> bool {
    let before = text.get(..at).and_then(|before| before.chars().next_back());
    before.is_some_and(|before| !before.is_whitespace() && !before.is_control() && !is_ignorable(before))
}

/// Whether a joiner at this byte is inside a word that needs it: behind a virama, between letters that join (the rules
/// `CONTEXTJ` of RFC 5892, appendix A), or, the one that joins, between pictographs (Unicode Technical Standard 51).
fn joins(text: &str, at: usize, joiner: char) -> bool {
    let before = text.get(..at).unwrap_or_default();
    let after = text.get(at.saturating_add(joiner.len_utf8())..).unwrap_or_default();
    let class = CodePointMapData::<CanonicalCombiningClass>::new();
    if before.chars().next_back().is_some_and(|last| class.get(last) == CanonicalCombiningClass::Virama) {
        return true;
    }
    // Marks between a letter and the joiner change nothing. They are skipped up to a bound, since a text can be all marks.
    let joining = |character: &char| CodePointMapData::<JoiningType>::new().get(*character);
    let is_mark = |character: &char| joining(character) == JoiningType::Transparent && !is_ignorable(*character);
    let left = before.chars().rev().take(MARKS_MAX).find(|each| !is_mark(each));
    let right = after.chars().take(MARKS_MAX).find(|each| !is_mark(each));
    let joins_left =
        left.is_some_and(|left| matches!(joining(&left), JoiningType::LeftJoining | JoiningType::DualJoining));
    let joins_right =
        right.is_some_and(|right| matches!(joining(&right), JoiningType::RightJoining | JoiningType::DualJoining));
    (joins_left && joins_right) || (joiner == JOINER && is_between_pictographs(before, after))
}

/// How many marks are skipped to find the letter that they belong to.
const MARKS_MAX: usize = 32;

fn is_between_pictographs(before: &str, after: &str) -> bool {
    let pictographic = CodePointSetData::new::<ExtendedPictographic>();
    let modifier = CodePointSetData::new::<EmojiModifier>();
    let modifies = |each: &char| *each == EMOJI_SELECTOR || modifier.contains(*each);
    let left = before.chars().rev().take(3).find(|each| !modifies(each));
    left.is_some_and(|left| pictographic.contains(left))
        && after.chars().next().is_some_and(|right| pictographic.contains(right))
}

#[cfg(test)]
mod tests {
    use super::{GeneralCategory, is_ignorable, printable, printable_json, printable_line};
    use icu_properties::CodePointMapData;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        let cases = [
            ("ä\tb\nc", "ä\tb\nc"),
            ("\x1b]0;x\x07\r\u{202E}", "\\u{1b}]0;x\\u{7}\\r\\u{202e}"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("a\u{2028}b\u{2029}c\u{85}d", "a\\u{2028}b\\u{2029}c\\u{85}d"),
            (
                "\u{61c}\u{200e}\u{200f}\u{200b}\u{2066}\u{feff}",
                "\\u{61c}\\u{200e}\\u{200f}\\u{200b}\\u{2066}\\u{feff}",
            ),
            // Tags, which can hide a whole text, and letters that are shown as nothing.
            ("a\u{e0041}\u{3164}\u{115f}", "a\\u{e0041}\\u{3164}\\u{115f}"),
            // Signs that are seen.
            ("\u{600}\u{661}", "\u{600}\u{661}"),
        ];
        for (text, shown) in cases {
            assert_eq!(printable(text), shown, "{text:?}");
        }
    }

    #[test]
    fn joiners_stay_inside_words_that_need_them_and_nowhere_else() {
        let stays = [
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "क्\u{200c}ष",
            "👩\u{200d}👧",
            "👩🏽\u{200d}🚀",
            "❤\u{fe0f}\u{200d}🔥",
            "❤\u{fe0f} us",
        ];
        for text in stays {
            assert_eq!(printable(text), text, "{text:?}");
        }
        let hides = [
            ("pay\u{200d}pal", "pay\\u{200d}pal"),
            ("pay\u{200c}pal", "pay\\u{200c}pal"),
            ("\u{200d}می", "\\u{200d}می"),
            ("می\u{200c}", "می\\u{200c}"),
            ("👩\u{200c}👧", "👩\\u{200c}👧"),
            ("👩\u{200d}a", "👩\\u{200d}a"),
            (" \u{fe0f}", " \\u{fe0f}"),
        ];
        for (text, shown) in hides {
            assert_eq!(printable(text), shown, "{text:?}");
        }
    }

    #[test]
    fn a_line_stays_one() {
        assert_eq!(printable_line("a\nb\tc\r\u{2028}\u{85}"), "a\\nb\\tc\\r\\u{2028}\\u{85}");
    }

    #[test]
    fn json_keeps_its_value_and_shows_what_deceives() {
        let object = serde_json::json!({
            "a\u{202e}b": "\u{9b}\u{7f}\u{200b}\u{e0041}\u{2028} plain ü 語 👩\u{200d}👧 \"\\ \n",
        });
        let shown = printable_json(object.to_string());
        assert_eq!(shown, r#"{"a\u202eb":"\u009b\u007f\u200b\udb40\udc41\u2028 plain ü 語 👩‍👧 \"\\ \n"}"#,);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("it is JSON"), object);
    }

    #[test]
    fn of_all_characters_none_that_hides_is_printed_alone() {
        for character in '\0'..=char::MAX {
            let category = CodePointMapData::<GeneralCategory>::new().get(character);
            let acts = matches!(
                category,
                GeneralCategory::Control | GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator
            ) && !matches!(character, '\n' | '\t');
            let shown = printable(&format!("a{character}"));
            if acts {
                assert!(!shown.contains(character), "{character:?}");
            }
            // A selector of variants has the letter before it to select of.
            if is_ignorable(character) && category != GeneralCategory::NonspacingMark {
                assert!(!shown.contains(character), "{character:?}");
            }
            if category == GeneralCategory::Format && shown.contains(character) {
                assert!(
                    matches!(u32::from(character), 0x600..=0x605 | 0x6DD | 0x70F | 0x890..=0x891 | 0x8E2
                    | 0x110BD | 0x110CD),
                    "{character:?} is printed"
                );
            }
        }
    }
}
