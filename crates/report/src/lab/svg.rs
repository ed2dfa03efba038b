//! Pictures as SVG, drawn with classes that the page's style gives colours to.
//!
//! Invariant: text enters only through [`escaped`], numbers only through [`number`]; classes and shapes
//! are words of ours.

use std::fmt::Write;

use crate::visible;

/// One picture.
#[derive(Clone, Debug)]
pub(super) struct Svg {
    width: f64,
    height: f64,
    label: String,
    body: String,
}

/// Which end of a text is at its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    /// An empty picture of a size; `label` is what is said of it to those who do not see it.
    pub(super) fn new(width: f64, height: f64, label: &str) -> Self {
        Self { width, height, label: escaped(label), body: String::new() }
    }

    pub(super) fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(number);
        let _ = write!(self.body, r#"<line class="{class}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>"#);
    }

    pub(super) fn rect(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
        let [x, y, width, height] = [x, y, width.max(0.0), height.max(0.0)].map(number);
        let _ =
            write!(self.body, r#"<rect class="{class}" x="{x}" y="{y}" width="{width}" height="{height}"/>"#);
    }

    pub(super) fn circle(&mut self, class: &str, (x, y): (f64, f64), radius: f64) {
        let [x, y, radius] = [x, y, radius].map(number);
        let _ = write!(self.body, r#"<circle class="{class}" cx="{x}" cy="{y}" r="{radius}"/>"#);
    }

    /// A line through points.
    pub(super) fn polyline(&mut self, class: &str, points: &[(f64, f64)]) {
        let path = path(points);
        if !path.is_empty() {
            let _ = write!(self.body, r#"<path class="{class}" d="{path}"/>"#);
        }
    }

    /// The area between a line and a height.
    pub(super) fn area(&mut self, class: &str, points: &[(f64, f64)], base: f64) {
        if let (Some(first), Some(last)) = (points.first(), points.last()) {
            let [from, to, base] = [first.0, last.0, base].map(number);
            let path = path(points);
            let _ = write!(self.body, r#"<path class="{class}" d="{path}L{to} {base}L{from} {base}Z"/>"#);
        }
    }

    pub(super) fn text(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let [x, y] = [x, y].map(number);
        let text = escaped(text);
        let _ = write!(
            self.body,
            r#"<text class="{class}" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>"#
        );
    }

    /// What `draw` draws, as one thing that is explained where the pointer rests on it.
    pub(super) fn group(&mut self, class: &str, title: &str, draw: impl FnOnce(&mut Self)) {
        let title = escaped(title);
        let _ = write!(self.body, r#"<g class="{class}"><title>{title}</title>"#);
        draw(self);
        self.body.push_str("</g>");
    }

    /// The element.
    pub(super) fn finish(self) -> String {
        let Self { width, height, label, body } = self;
        format!(
            r#"<svg viewBox="0 0 {} {}" role="img" aria-label="{label}">{body}</svg>"#,
            number(width),
            number(height)
        )
    }
}

/// Text as HTML and SVG take it, in elements and in quoted attributes, with nothing in it that acts.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in visible(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A coordinate, to a tenth.
fn number(value: f64) -> String {
    let text = format!("{:.1}", if value.is_finite() { value } else { 0.0 });
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

fn path(points: &[(f64, f64)]) -> String {
    let mut path = String::with_capacity(points.len() * 10);
    for (index, &(x, y)) in points.iter().enumerate() {
        path.push(if index == 0 { 'M' } else { 'L' });
        let _ = write!(path, "{} {}", number(x), number(y));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_element() {
        let mut svg = Svg::new(10.0, 10.0, "\"><script>");
        svg.text("t", (0.0, f64::NAN), Anchor::Start, "</text><img onerror='x'>\u{202e}&");
        let text = svg.finish();
        assert_eq!(
            text,
            "<svg viewBox=\"0 0 10 10\" role=\"img\" aria-label=\"&quot;&gt;&lt;script&gt;\"><text class=\"t\" \
             x=\"0\" y=\"0\" text-anchor=\"start\">&lt;/text&gt;&lt;img onerror=&#39;x&#39;&gt;\\u{202e}&amp;</text></svg>"
        );
    }
}
