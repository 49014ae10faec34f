//! What a backslash makes of the characters behind it.

use super::tokens::{Refusal, Tokens};

/// The character that `\letter` stands for inside of `[...]`.
pub(super) fn in_class(tokens: &mut Tokens, letter: char) -> Result<u32, Refusal> {
    match letter {
        'b' => Ok(0x08),
        '0'..='7' => {
            let digits = format!("{letter}{}", tokens.eat_while(2, is_octal)?);
            octal(tokens, &digits)
        }
        '8' | '9' => Err(bad(tokens, &letter.to_string())),
        _ => character(tokens, letter),
    }
}

/// The character that `\letter` stands for where that is the same inside and outside of `[...]`.
pub(super) fn character(tokens: &mut Tokens, letter: char) -> Result<u32, Refusal> {
    match letter {
        'a' => Ok(0x07),
        'f' => Ok(0x0c),
        'n' => Ok(0x0a),
        'r' => Ok(0x0d),
        't' => Ok(0x09),
        'v' => Ok(0x0b),
        'x' => hexadecimal(tokens, letter, 2),
        'u' => hexadecimal(tokens, letter, 4),
        'U' => hexadecimal(tokens, letter, 8),
        'N' => {
            if !tokens.eat('{')? {
                return Err(tokens.refuse("missing {", 0));
            }
            let name = tokens.until('}', "character name")?;
            let reason = format!(
                "no character can be given by name here (\\N{{{name}}}); \
                 write \\uXXXX or \\UXXXXXXXX"
            );
            Err(tokens.refuse(reason, name.chars().count() + r"\N{}".len()))
        }
        _ if letter.is_ascii_alphabetic() => Err(bad(tokens, &letter.to_string())),
        _ => Ok(u32::from(letter)),
    }
}

/// The value of two or three octal digits, of which all have been taken.
pub(super) fn octal(tokens: &Tokens, digits: &str) -> Result<u32, Refusal> {
    match u32::from_str_radix(digits, 8) {
        Ok(code) if code <= 0o377 => Ok(code),
        _ => {
            let reason = format!("octal escape value \\{digits} outside of range 0-0o377");
            Err(tokens.refuse(reason, 1 + digits.len()))
        }
    }
}

pub(super) fn is_octal(character: char) -> bool {
    character.is_digit(8)
}

fn hexadecimal(tokens: &mut Tokens, letter: char, length: usize) -> Result<u32, Refusal> {
    let digits = tokens.eat_while(length, |character| character.is_ascii_hexdigit())?;
    let back = 2 + digits.len();
    if digits.len() < length {
        return Err(tokens.refuse(format!("incomplete escape \\{letter}{digits}"), back));
    }
    match u32::from_str_radix(&digits, 16) {
        Ok(code) if code <= u32::from(char::MAX) => Ok(code),
        _ => Err(bad(tokens, &format!("{letter}{digits}"))),
    }
}

fn bad(tokens: &Tokens, escape: &str) -> Refusal {
    tokens.refuse(format!("bad escape \\{escape}"), 1 + escape.chars().count())
}
