//! The figures of the usual case as a drawing (SVG): what a delivery costs beside
//! the floor, and when it arrives. Both on logarithmic scales, since a side may
//! take a hundred times what another does.

use super::{BASE, Results, name};
use crate::args::ShapeName;
use crate::peer::Side;
use crate::session::{Figures, Round, float};
use confhub_benches::summary::Summary;
use std::fmt::Write as _;

/// Width of a bar, and what a group of them is apart, in pixels.
const BAR: f64 = 26.0;
const GAP: f64 = 40.0;

/// Height of a panel, and the room above it.
const HEIGHT: f64 = 220.0;
const ABOVE: f64 = 40.0;

/// Room to the left of the first bar.
const LEFT: f64 = 70.0;

/// A row of groups of bars, a group for each shape.
struct Panel<'a> {
    results: &'a Results,
    top: f64,
    /// Least and greatest power of ten on the scale.
    scale: (i32, i32),
}

/// Draws.
pub(super) fn svg(results: &Results) -> String {
    let cpu = Panel { results, top: ABOVE, scale: (0, 2) };
    let time = Panel { results, top: HEIGHT + ABOVE * 3.0, scale: (-1, 4) };
    let width = cpu.left(results.shapes.len(), 0) + 140.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        time.top + HEIGHT + ABOVE
    );
    cpu.frame(&mut svg, "CPU time a delivery, as a multiple of the floor's (line: all rounds)");
    time.frame(&mut svg, "write to receipt, ms: p50 to p99.9, a line at p99");
    for (group, shape) in results.shapes.iter().enumerate() {
        for (place, side) in results.sides.iter().enumerate() {
            cpu.ratio(&mut svg, *shape, *side, cpu.left(group, place));
            time.latency(&mut svg, *shape, *side, time.left(group, place));
        }
    }
    for (place, side) in results.sides.iter().enumerate() {
        let y = ABOVE + 20.0 * float(place);
        rect(&mut svg, (width - 140.0, y), (12.0, 12.0), color(*side));
        text(&mut svg, (width - 122.0, y + 11.0), "start", &side.to_string());
    }
    svg + "</svg>\n"
}

fn color(side: Side) -> &'static str {
    match side {
        Side::Hub => "#d1495b",
        Side::Floor => "#9aa0a6",
        Side::Etcd => "#2e6f95",
        Side::EtcdShared => "#7fb2d0",
        Side::Nats => "#66a182",
    }
}

impl Panel<'_> {
    /// Where a bar begins.
    fn left(&self, group: usize, place: usize) -> f64 {
        LEFT + float(group) * (float(self.results.sides.len()) * BAR + GAP) + float(place) * BAR
    }

    /// How high a value is drawn.
    fn y(&self, value: f64) -> f64 {
        let (least, greatest) = (f64::from(self.scale.0), f64::from(self.scale.1));
        let part = (value.log10().clamp(least, greatest) - least) / (greatest - least);
        self.top + HEIGHT * (1.0 - part)
    }

    fn frame(&self, svg: &mut String, title: &str) {
        text(svg, (LEFT, self.top - 14.0), "start", title);
        let right = self.left(self.results.shapes.len(), 0) - GAP;
        for power in self.scale.0..=self.scale.1 {
            let value = 10_f64.powi(power);
            let y = self.y(value);
            line(svg, (LEFT - 6.0, y), (right, y), "#dddddd");
            text(svg, (LEFT - 10.0, y + 4.0), "end", &value.to_string());
        }
        for (group, shape) in self.results.shapes.iter().enumerate() {
            text(svg, (self.left(group, 0), self.top + HEIGHT + 18.0), "start", &name(*shape));
        }
    }

    fn all(&self, shape: ShapeName, side: Side, of: fn(&Round, &Figures) -> f64) -> Vec<f64> {
        self.results.all(side, shape, BASE, of)
    }

    /// A bar from 1 to the median ratio, and a line for its range.
    fn ratio(&self, svg: &mut String, shape: ShapeName, side: Side, x: f64) {
        let cpu = |side| self.all(shape, side, |_, case| case.cpu_us);
        let Some(ratio) = Summary::ratio(&cpu(side), &cpu(Side::Floor)) else { return };
        let (top, foot) = (self.y(ratio.median), self.y(1.0));
        rect(svg, (x, top), (BAR - 4.0, (foot - top).max(1.0)), color(side));
        let middle = x + BAR / 2.0 - 2.0;
        line(svg, (middle, self.y(ratio.max)), (middle, self.y(ratio.min)), "#222222");
        text(svg, (middle, self.y(ratio.max) - 4.0), "middle", &format!("{:.1}", ratio.median));
    }

    /// A bar from the median latency to that of all but one in a thousand.
    fn latency(&self, svg: &mut String, shape: ShapeName, side: Side, x: f64) {
        let median = |of| Summary::of(self.all(shape, side, of)).map(|summary| self.y(summary.median));
        let (Some(foot), Some(middle), Some(top)) =
            (median(|_, case| case.p50_ms), median(|_, case| case.p99_ms), median(|_, case| case.p999_ms))
        else {
            return;
        };
        rect(svg, (x, top), (BAR - 4.0, (foot - top).max(1.0)), color(side));
        line(svg, (x, middle), (x + BAR - 4.0, middle), "#222222");
    }
}

fn rect(svg: &mut String, (x, y): (f64, f64), (width, height): (f64, f64), fill: &str) {
    // A string takes all that is written to it.
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\"/>"
    );
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), stroke: &str) {
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{stroke}\"/>"
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
}
