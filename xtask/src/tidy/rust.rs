//! Rust source as a row of tokens: comments and the insides of literals are gone, so that a rule about code does not
//! fire on a sentence or on its own pattern.

/// A source file that has been cut into tokens.
pub(crate) struct Source {
    pub(crate) tokens: Vec<Token>,
    pub(crate) lines: usize,
}

/// A word, a lifetime, a literal (shown as `"`) or one character of punctuation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
    /// Whether it belongs to a test: below `tests/`, or in an item under `#[cfg(test)]` or `#[test]`.
    pub(crate) test: bool,
}

impl Source {
    /// Cuts a file into tokens. The path says whether the whole file is a test.
    pub(crate) fn read(path: &str, text: &str) -> Self {
        let mut tokens = Lexer { chars: text.chars().collect(), at: 0, line: 1, tokens: Vec::new() }.run();
        let all_test = path.split('/').any(|part| part == "tests" || part == "tests.rs");
        if all_test {
            tokens.iter_mut().for_each(|token| token.test = true);
        } else {
            mark_tests(&mut tokens);
        }
        Self { tokens, lines: text.lines().count() }
    }

    /// The places where these tokens follow one another.
    pub(crate) fn find(&self, pattern: &[&str]) -> impl Iterator<Item = &Token> {
        self.tokens.windows(pattern.len().max(1)).filter_map(move |window| {
            let same = window.iter().zip(pattern).all(|(token, wanted)| token.text == *wanted);
            window.first().filter(|_| same)
        })
    }

    /// The calls of functions of this name, however they are named before it; not their definitions.
    pub(crate) fn calls(&self, name: &str) -> impl Iterator<Item = &Token> {
        let before = std::iter::once(None).chain(self.tokens.iter().map(Some));
        self.tokens.windows(2).zip(before).filter_map(move |(window, before)| match window {
            [called, open] if called.text == name && open.text == "(" => {
                Some(called).filter(|_| before.is_none_or(|token| token.text != "fn"))
            }
            _ => None,
        })
    }

    /// The names that the code takes directly from a crate or module: `x` of `root::x` and of `root::{x, y::z}`.
    pub(crate) fn members_of(&self, root: &str) -> Vec<&Token> {
        let mut found = Vec::new();
        for (index, _) in self.tokens.iter().enumerate().filter(|(_, token)| token.text == root) {
            let mut rest = self.tokens.get(index.saturating_add(1)..).unwrap_or_default().iter();
            if !rest.by_ref().take(2).map(|token| token.text.as_str()).eq([":", ":"]) {
                continue;
            }
            match rest.next() {
                Some(open) if open.text == "{" => found.extend(group_members(rest)),
                Some(name) => found.push(name),
                None => {}
            }
        }
        found
    }

    /// The attributes, each as its tokens between the brackets.
    pub(crate) fn attributes(&self) -> Vec<&[Token]> {
        let mut found = Vec::new();
        for (index, _) in self.tokens.iter().enumerate().filter(|(_, token)| token.text == "#") {
            let mut start = index.saturating_add(1);
            if self.tokens.get(start).is_some_and(|token| token.text == "!") {
                start = start.saturating_add(1);
            }
            if self.tokens.get(start).is_none_or(|token| token.text != "[") {
                continue;
            }
            let end = closing(&self.tokens, start);
            found.extend(self.tokens.get(start.saturating_add(1)..end));
        }
        found
    }
}

/// The first names of a `{...}` group of a `use`, up to its closing brace.
fn group_members<'a>(tokens: impl Iterator<Item = &'a Token>) -> Vec<&'a Token> {
    let (mut found, mut depth, mut expects_name) = (Vec::new(), 0_usize, true);
    for token in tokens {
        match token.text.as_str() {
            "{" => depth = depth.saturating_add(1),
            "}" if depth == 0 => break,
            "}" => depth = depth.saturating_sub(1),
            "," if depth == 0 => expects_name = true,
            _ => {
                if expects_name {
                    found.push(token);
                }
                expects_name = false;
            }
        }
    }
    found
}

/// The index of the bracket that closes the one at `open`, or the end.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth = depth.saturating_add(1),
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return index;
        }
    }
    tokens.len()
}

/// Marks each item under a `#[cfg(test)]`, `#[cfg(all(test, ...))]` or `#[test]`.
fn mark_tests(tokens: &mut [Token]) {
    let mut index = 0;
    while index < tokens.len() {
        let words: Vec<&str> = tokens.iter().skip(index).take(7).map(|token| token.text.as_str()).collect();
        let marks = matches!(
            *words,
            ["#", "[", "cfg", "(", "test", ")", "]"]
                | ["#", "[", "cfg", "(", "all", "(", "test"]
                | ["#", "[", "test", "]", ..]
        );
        if !marks {
            index = index.saturating_add(1);
            continue;
        }
        let end = end_of_item(tokens, closing(tokens, index.saturating_add(1)));
        tokens.iter_mut().take(end).skip(index).for_each(|token| token.test = true);
        index = end;
    }
}

/// The index after the item that follows the attribute ending at `from`: after its `;` or its closing brace.
fn end_of_item(tokens: &[Token], from: usize) -> usize {
    let mut index = from.saturating_add(1);
    while let Some(token) = tokens.get(index) {
        match token.text.as_str() {
            ";" => return index.saturating_add(1),
            "{" => return closing(tokens, index).saturating_add(1).min(tokens.len()),
            "(" | "[" => index = closing(tokens, index),
            _ => {}
        }
        index = index.saturating_add(1);
    }
    tokens.len()
}

/// Cuts a text. It knows just enough of Rust to tell code from comments and literals.
struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer {
    fn run(mut self) -> Vec<Token> {
        while let Some(char) = self.peek(0) {
            match char {
                '/' if self.peek(1) == Some('/') => self.skip_while(|char| char != '\n'),
                '/' if self.peek(1) == Some('*') => self.skip_block_comment(),
                '"' => self.string(),
                '\'' => self.quote(),
                _ if self.raw_string_hashes().is_some() => self.raw_string(),
                _ if is_word(char) => self.word(),
                _ if char.is_whitespace() => self.step(),
                _ => {
                    self.push(char.to_string());
                    self.step();
                }
            }
        }
        self.tokens
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at.saturating_add(ahead)).copied()
    }

    fn step(&mut self) {
        if self.peek(0) == Some('\n') {
            self.line = self.line.saturating_add(1);
        }
        self.at = self.at.saturating_add(1);
    }

    fn steps(&mut self, count: usize) {
        (0..count).for_each(|_| self.step());
    }

    fn skip_while(&mut self, goes_on: impl Fn(char) -> bool) {
        while self.peek(0).is_some_and(&goes_on) {
            self.step();
        }
    }

    fn push(&mut self, text: String) {
        self.tokens.push(Token { text, line: self.line, test: false });
    }

    fn word(&mut self) {
        let start = self.at;
        let line = self.line;
        self.skip_while(is_word);
        let text = self.chars.get(start..self.at).unwrap_or_default().iter().collect();
        self.tokens.push(Token { text, line, test: false });
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => {
                    depth = depth.saturating_add(1);
                    self.steps(2);
                }
                (Some('*'), Some('/')) => {
                    depth = depth.saturating_sub(1);
                    self.steps(2);
                    if depth == 0 {
                        return;
                    }
                }
                (Some(_), _) => self.step(),
                (None, _) => return,
            }
        }
    }

    fn string(&mut self) {
        self.push("\"".into());
        self.step();
        while let Some(char) = self.peek(0) {
            self.step();
            match char {
                '\\' => self.step(),
                '"' => return,
                _ => {}
            }
        }
    }

    /// A character literal, or a lifetime.
    fn quote(&mut self) {
        if self.peek(1) == Some('\\') {
            self.push("\"".into());
            self.steps(3);
            self.skip_while(|char| char != '\'');
            self.step();
        } else if self.peek(2) == Some('\'') {
            self.push("\"".into());
            self.steps(3);
        } else {
            self.push("'".into());
            self.step();
        }
    }

    /// How many `#` a raw string that begins here has; `None` if none begins here.
    fn raw_string_hashes(&self) -> Option<usize> {
        let prefix = match (self.peek(0)?, self.peek(1)?) {
            ('r', '"' | '#') => 1,
            ('b' | 'c', 'r') => 2,
            _ => return None,
        };
        let hashes = self.chars.iter().skip(self.at.saturating_add(prefix)).take_while(|char| **char == '#').count();
        (self.peek(hashes.saturating_add(prefix)) == Some('"')).then_some(hashes)
    }

    fn raw_string(&mut self) {
        self.push("\"".into());
        let hashes = self.raw_string_hashes().unwrap_or(0);
        self.skip_while(|char| char != '"');
        self.step();
        while let Some(char) = self.peek(0) {
            self.step();
            if char == '"' && (0..hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                return self.steps(hashes);
            }
        }
    }
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

#[cfg(test)]
mod tests {
    use super::Source;

    fn words(text: &str) -> Vec<String> {
        Source::read("a/src/b.rs", text).tokens.into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_literals_are_gone() {
        let check = |text: &str, expected: &[&str]| assert_eq!(words(text), expected, "{text}");
        check("a // b\nc /* d /* e */ f */ g", &["a", "c", "g"]);
        check(
            r#"x("a \" b", 'c', '\'', '\n', '\u{1F600}', b'"', y)"#,
            &["x", "(", "\"", ",", "\"", ",", "\"", ",", "\"", ",", "\"", ",", "b", "\"", ",", "y", ")"],
        );
        check("r#\"a \" b\"# br\"\\\" c r#type", &["\"", "\"", "c", "r", "#", "type"]);
        check("fn f<'a>(x: &'a str)", &["fn", "f", "<", "'", "a", ">", "(", "x", ":", "&", "'", "a", "str", ")"]);
        check("/// doc\n//! doc\nunterminated \"abc", &["unterminated", "\""]);
    }

    #[test]
    fn lines_are_counted_through_everything() {
        let source = Source::read("b.rs", "/*\n*/ \"\n\" r\"\n\" // x\nlast");
        assert_eq!(source.tokens.last().map(|token| (token.text.as_str(), token.line)), Some(("last", 5)));
        assert_eq!(source.lines, 5);
    }

    #[test]
    fn tests_are_told_from_the_rest() {
        let of = |path: &str, text: &str| -> Vec<String> {
            let tokens = Source::read(path, text).tokens.into_iter();
            tokens.filter(|token| token.test && token.text.starts_with("in_")).map(|token| token.text).collect()
        };
        let inside =
            "#[cfg(test)] mod tests { fn in_a() {} } fn out() {} #[cfg(all(test, unix))] mod in_b; fn out() {}";
        assert_eq!(of("a/src/b.rs", inside), ["in_a", "in_b"]);
        assert_eq!(of("a/src/b.rs", "#[test] #[cfg(x)] fn in_c(y: [u8; 3]) { in_d } fn out_e() {}"), ["in_c", "in_d"]);
        assert_eq!(of("a/src/b.rs", "#[cfg(not(test))] mod in_x { }"), [""; 0]);
        assert_eq!(of("a/tests/b.rs", "fn in_f() {}"), ["in_f"]);
        assert_eq!(of("a/src/tests.rs", "fn in_g() {}"), ["in_g"]);
    }

    #[test]
    fn members_are_found_in_paths_and_groups() {
        let of = |text: &str| -> Vec<String> {
            Source::read("b.rs", text).members_of("std").into_iter().map(|token| token.text.clone()).collect()
        };
        assert_eq!(of("use std::time::Duration; let x = std :: fs::read();"), ["time", "fs"]);
        assert_eq!(of("use std::{collections::{BTreeMap, fs}, time, io::{self}};"), ["collections", "time", "io"]);
        assert_eq!(of("use core::time; let std = 1; std"), [""; 0]);
    }

    #[test]
    fn attributes_are_found_whole() {
        let source = Source::read("b.rs", "#![a(b)]\n#[c(\n d = [1], \"]\")]\nfn f() { x[0] }");
        let found: Vec<Vec<&str>> = source
            .attributes()
            .into_iter()
            .map(|tokens| tokens.iter().map(|token| token.text.as_str()).collect())
            .collect();
        assert_eq!(found, [vec!["a", "(", "b", ")"], vec!["c", "(", "d", "=", "[", "1", "]", ",", "\"", ")"]]);
    }
}
