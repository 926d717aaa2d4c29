//! `needs`: jobs that exist, and no circle.

use super::super::finding::Report;
use super::super::suggest::hint;
use super::super::yaml::Node;
use super::Checked;
use std::collections::{HashMap, HashSet};

pub(super) fn check(checked: &Checked<'_>, report: &mut Report) {
    let jobs = checked.jobs();
    let ids: Vec<String> = jobs.iter().map(|(key, _)| key.text().unwrap_or_default()).collect();
    let numbers: HashMap<String, usize> =
        ids.iter().enumerate().rev().map(|(number, id)| (id.to_lowercase(), number)).collect();
    let mut edges: Vec<Vec<usize>> = Vec::new();
    for (number, (_, job)) in jobs.iter().enumerate() {
        let mut seen = HashSet::new();
        let mut needed = Vec::new();
        for need in job.get("needs").map(Node::one_or_many).unwrap_or_default() {
            let Some(name) = need.text().filter(|name| !name.is_empty() && !need.has_expression()) else {
                continue;
            };
            match numbers.get(&name.to_lowercase()) {
                None => {
                    let id = ids.get(number).map_or("", String::as_str);
                    let near = hint(&name, ids.iter().map(String::as_str).filter(|other| *other != id));
                    let message =
                        format!("the job `{id}` needs `{name}`, which is no job of this workflow{near}");
                    report.error(need.at, "needs", message);
                }
                Some(&other) => {
                    if !seen.insert(other) {
                        report.warn(need.at, "needs", format!("`{name}` stands twice"));
                    }
                    needed.push(other);
                }
            }
        }
        edges.push(needed);
    }
    for circle in circles(&edges) {
        let first = circle.iter().min().copied().unwrap_or(0);
        let turned = circle.iter().position(|&job| job == first).unwrap_or(0);
        let way = circle.iter().cycle().skip(turned).take(circle.len() + 1);
        let names: Vec<_> = way.filter_map(|&job| ids.get(job)).map(|id| format!("`{id}`")).collect();
        if let Some((key, _)) = jobs.get(first) {
            let message = format!("jobs wait for each other for ever: {}", names.join(" needs "));
            report.error(key.at, "needs", message);
        }
    }
}

/// Circles, one for each way back into a job that is being gone through; without recursion, in proportion to jobs and needs.
fn circles(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let mut states = vec![State::New; edges.len()];
    let mut found = Vec::new();
    for start in 0..edges.len() {
        if states.get(start) != Some(&State::New) {
            continue;
        }
        let mut way: Vec<(usize, usize)> = vec![(start, 0)];
        while let Some((job, next)) = way.last_mut() {
            let (job, edge) = (*job, *next);
            *next += 1;
            if let Some(state) = states.get_mut(job) {
                *state = State::Open;
            }
            match edges.get(job).and_then(|needed| needed.get(edge)).copied() {
                None => {
                    if let Some(state) = states.get_mut(job) {
                        *state = State::Done;
                    }
                    way.pop();
                }
                Some(needed) => match states.get(needed) {
                    Some(State::New) => way.push((needed, 0)),
                    Some(State::Open) => {
                        let from = way.iter().position(|(job, _)| *job == needed).unwrap_or(0);
                        found.push(way.iter().skip(from).map(|(job, _)| *job).collect());
                        // One circle a start is enough to act on, and keeps the work linear.
                        for (job, _) in way.drain(..) {
                            if let Some(state) = states.get_mut(job) {
                                *state = State::Done;
                            }
                        }
                    }
                    _ => {}
                },
            }
        }
    }
    found
}
