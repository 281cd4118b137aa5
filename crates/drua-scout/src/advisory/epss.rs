//! FIRST's EPSS: `#model_version:…,score_date:…`, then `cve,epss,percentile` and a line for each vulnerability.

use super::record::Epss;
use super::segment::SegmentBuilder;

pub(super) fn is(text: &str) -> bool {
    text.lines().take(3).any(|line| line.trim() == "cve,epss,percentile")
}

/// Adds the scores; the date they bear.
pub(super) fn add(text: &str, builder: &mut SegmentBuilder) -> String {
    let mut date = String::new();
    for line in text.lines() {
        if let Some(at) = line.find("score_date:") {
            date = line[at + "score_date:".len()..].split(',').next().unwrap_or_default().trim().to_owned();
            continue;
        }
        let mut fields = line.split(',');
        let (Some(id), Some(score), Some(percentile)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let probability = |text: &str| text.trim().parse::<f64>().ok().filter(|number| (0.0..=1.0).contains(number));
        if let (Some(score), Some(percentile)) = (probability(score), probability(percentile)) {
            builder.epss(id.trim(), Epss { score, percentile });
        }
    }
    date
}
