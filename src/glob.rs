//! Patterns in which `*` stands for anything.

/// Whether `text` is `pattern` with each `*` replaced by something, also by nothing: each piece between two is looked for
/// from the left. A `*` in `text` can only be met by one of the pattern's, so this also says whether one pattern covers
/// another.
#[must_use]
pub fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let mut pieces = pattern.split(|byte| *byte == b'*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces.filter(|piece| !piece.is_empty()) {
        let Some(at) = rest.windows(piece.len()).position(|window| window == piece) else { return false };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}
