//! Made-up values, valid or not, with and without references. `cases` says what is left out and why.

use oslo_messaging::config::{DEFAULT, Kind, Opt};

use crate::dice::Dice;

/// Whether its values must have a digit.
pub(crate) fn is_number(opt: &Opt) -> bool {
    matches!(
        opt.kind,
        Kind::Integer { .. } | Kind::Float { .. } | Kind::Seconds { .. } | Kind::Port
    )
}

/// A value for an option, valid or not.
pub(crate) fn value(dice: &mut Dice, opt: &Opt) -> String {
    let number = is_number(opt);
    if dice.percent(12) {
        return match opt.kind {
            Kind::Boolean => dice.word("$flag|${alpha.flag}"),
            _ if number => number_reference(dice),
            _ => reference(dice, opt.group),
        };
    }
    match opt.kind {
        Kind::Integer { .. } | Kind::Port => dice.word(
            "0|1|-1|80|+5|007|1_000|99999|100000|100001|-100|-101|65535|65536|1__0|\
_1|1_|5.0|1e3|0x10|ten|1 0|-|99999999999999999999|1$count|$$1",
        ),
        Kind::Float { .. } | Kind::Seconds { .. } => dice.word(
            "0|1|-1|2.5|.5|5.|1e3|1E-7|1_0.5|1_.5|-0.0|-10|-10.01|1e9|1000000000.1|\
3600|3601|inf|-inf|1e400|1e-400|0.1e1|e5|.|1,5|5s|0x1p3|\
0.30000000000000004|123456789.123|1e-5|0.0001|$count.5",
        ),
        Kind::Boolean => {
            dice.word("true|false|TRUE|False|1|0|on|Off|yes|NO|y|n|2|enabled|tru e|$flag")
        }
        Kind::Choice(_) => dice.word("one|two|x y||One|three|one,two|'one'"),
        Kind::Host => dice.word(
            "localhost|localhost.|a.b-c.example|10.0.0.1|10.0.0.256|10.0.0|::1|\
fe80::1%eth0|[::1]|2001:db8::|1:2:3:4:5:6:7:8|::ffff:1.2.3.4|:::|a_b|\
-a|a-|a..b|.|1.2.3.4.5|1a|12|a b|010.0.0.1||xn--bcher-kva.example|\
b\u{fc}cher.example|a.1|a.-|1.2.3.-|\
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b|\
$host",
        ),
        Kind::List => dice.word(
            "a|a,b| a , b |a,,b|,a|a,|,|,,|a b,c|\"a,b\",c||[a]|a;b|\
\u{e9},\u{2003}b|$made,b|a,$count",
        ),
        Kind::Dict => dice.word(
            "a:b|a:b,c:d| a : b , c : d:e |a:|:b|a|a:b,|a:b,c|a,b:c|a:b,a:c|\
a:1, a:2||,|a:b,,c:d|k:$made|$made:v|a=b|a:b;c:d",
        ),
        _ => text(dice, opt.group, opt.secret),
    }
}

/// Any text, with or without references.
pub(crate) fn text(dice: &mut Dice, group: &str, secret: bool) -> String {
    let mut text = String::new();
    for _ in 0..=dice.below(3) {
        if dice.percent(25) {
            text += &reference(dice, group);
        } else if secret && dice.percent(10) {
            text += "${alpha.password}";
        } else {
            text += &dice.word(
                "a|B c|1|-|x=y|p:q|\u{e9}\u{4e2d}|$$|\\$|$|$5|${|${}|$}|\\\\|\\n|#|;|\
\"|'|[z]|%|\\$$|$$$$|${1}| |\t|kafka://h1:9092,h2/v?o=1|${text|$\u{e9}",
            );
        }
    }
    text
}

/// A reference to something that is a number.
fn number_reference(dice: &mut Dice) -> String {
    dice.word("$count|${count}|${alpha.count}|${alpha.level}|${beta.wait}|$share")
}

/// A reference, perhaps to something that nobody knows.
fn reference(dice: &mut Dice, group: &str) -> String {
    if group == DEFAULT && dice.percent(20) {
        return dice.word("$text|${text}|$own");
    }
    dice.word(
        "$count|${count}|$share|$flag|${flag}|$made|${made}|$nothing|$renamed|\
${alpha.text}|$alpha.text|${alpha.count}|${alpha.share}|${alpha.flag}|\
${alpha.port}|${alpha.host}|${alpha.choice}|${alpha.level}|\
${beta.text}|${beta.wait}|${beta.host}|$host|$port|$wait|$my_ip|\
${my_ip}|$state_path|${alpha.own}|${beta.own}|$unknown|${unknown.x}|\
$made.|$Unknown|$alpha|${alpha.unknown}|$before",
    )
}
