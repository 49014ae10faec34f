//! The names that options have in the environment. Mirrors `oslo_config/sources/_environment.py`.
//!
//! Pure. Called by `Config` and `check`.

const PREFIX: &str = "OS_";
const BETWEEN: &str = "__";

/// The variable of an option, such as `OS_DEFAULT__TRANSPORT_URL`.
pub(super) fn variable(group: &str, name: &str) -> String {
    format!("{PREFIX}{}{BETWEEN}{}", group.to_uppercase(), name.to_uppercase())
}

/// Whether a variable can be one of an option. `OS_CLOUD` and its like are not.
pub(super) fn is_option(variable: &str) -> bool {
    variable.strip_prefix(PREFIX).is_some_and(|rest| rest.contains(BETWEEN))
}

/// The part of a variable after its group, in lower case, if it is one of the group.
pub(super) fn name_in(variable: &str, group: &str) -> Option<String> {
    variable.strip_prefix(&self::variable(group, "")).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::{is_option, name_in, variable};

    #[test]
    fn variables_are_in_upper_case_with_two_underscores() {
        assert_eq!(variable("DEFAULT", "transport_url"), "OS_DEFAULT__TRANSPORT_URL");
        for (name, expected) in
            [("OS_OSLO_MESSAGING_KAFKA__COMMIT", true), ("OS_CLOUD", false), ("KAOS_G__A", false)]
        {
            assert_eq!(is_option(name), expected, "{name}");
        }
        assert_eq!(name_in("OS_G__A_B", "g").as_deref(), Some("a_b"));
        assert_eq!(name_in("OS_G__A", "h"), None);
    }
}
