//! Nodes in the file, by name or by pattern.

use toml::Value;

use super::ranking::shown;
use crate::node::NodePattern;

/// One text, or a list of them.
pub(super) fn texts<'a>(value: Option<&'a Value>, example: &str) -> Result<Vec<&'a str>, String> {
    let value = value.ok_or_else(|| format!("missing; it is {example}"))?;
    let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let text =
        |value: &'a Value| value.as_str().ok_or_else(|| format!("{} is not a text; it is {example}", shown(value)));
    values.iter().map(text).collect()
}

/// The patterns of a key `nodes`.
pub(super) fn patterns(value: Option<&Value>) -> Result<Vec<NodePattern>, String> {
    let texts = texts(value, "a node's name, or a pattern as \"ops@*\", or a list of them")?;
    if texts.is_empty() {
        return Err("empty; a node's name or a pattern is wanted".into());
    }
    let pattern = |text: &str| NodePattern::new(text).ok_or_else(|| format!("{text:?} can fit no node's name"));
    texts.into_iter().map(pattern).collect()
}
