//! What local names may hold.

/// Whether nobody sees the character, so that a name with it looks like another: a control character, or one of those that
/// Unicode 16 shows as nothing where a font does not know them (`Default_Ignorable_Code_Point`), such as zero-width spaces,
/// joiners, marks that turn the direction of writing, and selectors of variants.
#[must_use]
pub fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{AD}'
                | '\u{34F}'
                | '\u{61C}'
                | '\u{115F}'..='\u{1160}'
                | '\u{17B4}'..='\u{17B5}'
                | '\u{180B}'..='\u{180F}'
                | '\u{200B}'..='\u{200F}'
                | '\u{202A}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{3164}'
                | '\u{FE00}'..='\u{FE0F}'
                | '\u{FEFF}'
                | '\u{FFA0}'
                | '\u{FFF0}'..='\u{FFF8}'
                | '\u{1BCA0}'..='\u{1BCA3}'
                | '\u{1D173}'..='\u{1D17A}'
                | '\u{E0000}'..='\u{E0FFF}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_told_apart_from_letters_of_all_scripts() {
        for unseen in ['\0', '\n', '\u{7f}', '\u{ad}', '\u{200b}', '\u{200d}', '\u{202e}', '\u{feff}', '\u{e0041}'] {
            assert!(is_unseen(unseen), "{unseen:?}");
        }
        for seen in ['a', ' ', 'ß', '\u{301}', 'न', '語', '🐢', '\u{2028}', '\u{10ffff}'] {
            assert!(!is_unseen(seen), "{seen:?}");
        }
    }
}
