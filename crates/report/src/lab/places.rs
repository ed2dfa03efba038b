//! Room for names beside marks, so that pictures need no legend.
//!
//! Invariant: every name gets a place within the frame; names overlap only where there is no room at all.

/// A box on paper.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Area {
    /// Left.
    pub(super) x: f64,
    /// Top.
    pub(super) y: f64,
    /// To the right.
    pub(super) width: f64,
    /// Downwards.
    pub(super) height: f64,
}

impl Area {
    /// A square around a point.
    pub(super) const fn around((x, y): (f64, f64), half: f64) -> Self {
        Self { x: x - half, y: y - half, width: 2.0 * half, height: 2.0 * half }
    }

    fn overlap(self, other: Self) -> f64 {
        let width = (self.x + self.width).min(other.x + other.width) - self.x.max(other.x);
        let height = (self.y + self.height).min(other.y + other.height) - self.y.max(other.y);
        width.max(0.0) * height.max(0.0)
    }

    fn outside(self, frame: Self) -> f64 {
        self.width * self.height - self.overlap(frame)
    }
}

/// Width of a text in the pictures' letters, about.
pub(super) fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * 6.2
}

/// Where to write each text beside its mark: boxes, in the order of `marks`. Marks and `taken` keep clear.
pub(super) fn beside(marks: &[((f64, f64), String)], frame: Area, taken: &[Area]) -> Vec<Area> {
    const HEIGHT: f64 = 13.0;
    let mut occupied: Vec<Area> = marks.iter().map(|(at, _)| Area::around(*at, 5.0)).collect();
    occupied.extend(taken);
    let mut places = Vec::with_capacity(marks.len());
    for ((x, y), text) in marks {
        let width = text_width(text);
        let mut best: Option<(f64, Area)> = None;
        // Near places first; among equals the first wins.
        for gap in [8.0, 20.0, 34.0, 50.0] {
            let candidates = [
                (x + gap, y - HEIGHT / 2.0),
                (x - gap - width, y - HEIGHT / 2.0),
                (x - width / 2.0, y - gap - HEIGHT),
                (x - width / 2.0, y + gap),
                (x + gap, y - gap - HEIGHT),
                (x + gap, y + gap),
                (x - gap - width, y - gap - HEIGHT),
                (x - gap - width, y + gap),
            ];
            for (left, top) in candidates {
                let area = Area { x: left, y: top, width, height: HEIGHT };
                let crowding: f64 = occupied.iter().map(|other| area.overlap(*other)).sum();
                let cost = crowding + 4.0 * area.outside(frame) + gap / 4.0;
                if best.is_none_or(|(least, _)| cost < least) {
                    best = Some((cost, area));
                }
            }
        }
        if let Some((_, area)) = best {
            occupied.push(area);
            places.push(area);
        }
    }
    places
}

/// Heights for texts in one column, each as near to where it is wanted as `spacing` allows.
pub(super) fn stacked(wanted: &[f64], spacing: f64, top: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&one, &other| wanted[one].total_cmp(&wanted[other]));
    let spacing = spacing.min((bottom - top) / wanted.len().max(1) as f64);
    let mut heights = vec![0.0; wanted.len()];
    let mut least = top;
    for &index in &order {
        heights[index] = wanted[index].max(least);
        least = heights[index] + spacing;
    }
    let mut most = bottom;
    for &index in order.iter().rev() {
        heights[index] = heights[index].min(most);
        most = heights[index] - spacing;
    }
    heights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_near_marks_keep_clear_of_each_other() {
        let frame = Area { x: 0.0, y: 0.0, width: 400.0, height: 300.0 };
        let marks: Vec<_> =
            (0..8).map(|index| ((200.0 + f64::from(index), 150.0), "an arm".to_owned())).collect();
        let places = beside(&marks, frame, &[]);
        assert_eq!(places.len(), marks.len());
        for (index, one) in places.iter().enumerate() {
            assert!(one.outside(frame) < 1e-9, "{one:?}");
            for other in &places[..index] {
                assert!(one.overlap(*other) < 1e-9, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn a_column_of_names_is_spread_and_stays_within() {
        assert_eq!(stacked(&[50.0, 10.0, 52.0], 12.0, 0.0, 100.0), [50.0, 10.0, 62.0]);
        assert_eq!(stacked(&[99.0, 99.0], 12.0, 0.0, 100.0), [88.0, 100.0]);
        assert!(stacked(&[5.0; 20], 12.0, 0.0, 100.0).iter().all(|height| (0.0..=100.0).contains(height)));
        assert!(stacked(&[], 12.0, 0.0, 100.0).is_empty());
    }
}
