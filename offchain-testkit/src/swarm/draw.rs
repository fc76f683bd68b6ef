//! Plans drawn from seeds: each seed draws its own dials, then its steps.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::plan::{Action, CLASSES_APART, Partition, Plan, Setting, Step};
use crate::enemies::{self, Standing};
use crate::{Damage, Mangle};

/// How many steps a drawn plan has, about: half of them are operations of people, the others faults.
pub const STEPS: usize = 400;

/// What plans are drawn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges {
    /// The fewest nodes, malicious ones included.
    pub nodes_min: usize,
    /// The most nodes, malicious ones included.
    pub nodes_max: usize,
    /// The classes of malicious peers that may take part.
    pub enemies: Vec<String>,
}

/// How many plans of a hundred have malicious peers.
const HOSTILE_PERCENT: u64 = 52;

/// How many malicious peers of a hundred are strangers to the group.
const STRANGERS_PERCENT: u64 = 15;

/// How many classes a malicious peer has: more than take part by one node each, so that each kind of lie comes up soon.
const CLASSES: usize = 5;

/// Parts the dice for public chains from all others.
const PUBLIC: u64 = 0x7075_626c_6963;

/// How many blocks both sides of a cut write to a public chain: enough that finding out what is missing takes more than a
/// look, and few enough for a thousand runs.
const APART_POSTS: (u64, u64) = (12, 36);

/// How often a node blocks an author of a public chain, or takes its blocks again.
const PUBLIC_RULES: usize = 3;

/// Ten years in milliseconds.
const TEN_YEARS_MS: u64 = 315_360_000_000;

struct Dice(ChaCha20Rng);

impl Dice {
    /// A number below `end`; 0 if there is none.
    fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64().checked_rem(end).unwrap_or_default()
    }

    fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(u64::try_from(end).unwrap_or(u64::MAX))).unwrap_or_default()
    }

    fn between(&mut self, least: u64, most: u64) -> u64 {
        least.saturating_add(self.below(most.saturating_sub(least).saturating_add(1)))
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// How often each kind of fault is, in this run: out of all steps, by weight.
struct Dials {
    weights: Vec<(u64, Kind)>,
}

#[derive(Clone, Copy)]
enum Kind {
    Post,
    Read,
    Join,
    Frame,
    Link,
    Ways,
    Mend,
    Crash,
    Start,
    Disk,
    Damage,
    Copies,
    Pause,
    Clock,
    Enemy,
}

impl Dials {
    fn draw(dice: &mut Dice, enemies: usize, disks: usize) -> Self {
        // Each fault is off in some runs and frequent in others: what hides behind one shows without it.
        let mut dial = |most: u64| if dice.percent(15) { 0 } else { dice.between(1, most) };
        let weights = vec![
            (215, Kind::Post),
            (6, Kind::Read),
            (5, Kind::Join),
            (dial(90), Kind::Frame),
            (dial(32), Kind::Link),
            (dial(12), Kind::Ways),
            (18, Kind::Mend),
            (dial(12), Kind::Crash),
            (18, Kind::Start),
            (dial(10), Kind::Disk),
            (if disks == 0 { 0 } else { 6 }, Kind::Damage),
            (dial(5), Kind::Copies),
            (dial(10), Kind::Pause),
            (dial(28), Kind::Clock),
            (if enemies == 0 { 0 } else { dial(24) }, Kind::Enemy),
        ];
        Self { weights }
    }

    fn kind(&self, dice: &mut Dice) -> Kind {
        let mut left = dice.below(self.weights.iter().map(|(weight, _)| weight).sum());
        for (weight, kind) in &self.weights {
            match left.checked_sub(*weight) {
                None => return *kind,
                Some(rest) => left = rest,
            }
        }
        Kind::Post
    }
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn drawn(seed: u64, ranges: &Ranges) -> Self {
        let mut dice = Dice(ChaCha20Rng::seed_from_u64(seed));
        let spread = ranges.nodes_max.saturating_sub(ranges.nodes_min).saturating_add(1);
        // The smallest of five draws: a run's cost grows with the square of its nodes, and most of what can go wrong needs few.
        let more = (0..5).map(|_| dice.index(spread)).min().unwrap_or_default();
        let all = ranges.nodes_min.saturating_add(more).max(2);
        // Half of the runs have malicious peers: mostly one, at most all but two of the nodes.
        let mut enemies = Vec::new();
        let (public, private): (Vec<String>, Vec<String>) =
            ranges.enemies.iter().cloned().partition(|name| name.starts_with("public_"));
        if !private.is_empty() && dice.percent(HOSTILE_PERCENT) {
            let most = all.saturating_sub(2).max(1);
            let many = match dice.below(10) {
                0 | 1 => most,
                2..=4 => most.min(2),
                _ => 1,
            };
            enemies.extend((0..=dice.index(many)).map(|_| classes(&mut dice, &private)));
            enemies.truncate(all.saturating_sub(2));
        }
        let nodes = all.saturating_sub(enemies.len());
        let members = nodes.saturating_sub(dice.index(3)).max(nodes.div_ceil(2));
        let setting = Setting {
            seed,
            nodes,
            members,
            disks: if dice.percent(75) { 0 } else { dice.index(nodes.min(3)).saturating_add(1) },
            mesh: dice.percent(80),
            latency_ms: dice.between(1, 200),
            commit_us: if dice.percent(70) { 400 } else { dice.between(100, 50_000) },
            tail_permille: if dice.percent(50) { 0 } else { u16::try_from(dice.between(1, 20)).unwrap_or(1) },
            enemies,
            circle: dice.percent(50),
            public: false,
        };
        let dials = Dials::draw(&mut dice, setting.enemies.len(), setting.disks);
        let pace_ms = dice.between(20, 900);
        let steps = (0..STEPS).map(|_| step(&mut dice, &dials, &setting, pace_ms)).collect();
        let mut plan = Self { setting, steps };
        plan.draw_public(seed, &public);
        plan
    }

    /// Lets every third run have a public chain, and some of its posts go there. Drawn apart, so that all else of a seed
    /// is as it was without.
    fn draw_public(&mut self, seed: u64, classes: &[String]) {
        let mut dice = Dice(ChaCha20Rng::seed_from_u64(seed ^ PUBLIC));
        if !dice.percent(34) {
            return;
        }
        self.setting.public = true;
        if !classes.is_empty()
            && dice.percent(60)
            && let Some(enemy) = self.setting.enemies.first_mut()
            && let Some(class) = classes.get(dice.index(classes.len()))
        {
            class.clone_into(enemy);
        }
        let nodes = self.setting.nodes;
        for step in &mut self.steps {
            let Action::Post { node, bytes } = step.action else { continue };
            // Two chains over one connection: what breaks it shows in both.
            match dice.below(100) {
                0..=24 => step.action = Action::PublicPost { node, bytes },
                25..=31 => step.action = Action::Break { a: node, b: dice.index(nodes) },
                _ => {}
            }
        }
        // The founder is one of those that an application reads at.
        for _ in 0..PUBLIC_RULES {
            let node = if dice.percent(70) { 0 } else { dice.index(nodes) };
            let author = dice.index(nodes);
            self.replace(&mut dice, &[Action::PublicRule { node, author }]);
        }
        let (node, other) = (dice.index(nodes), dice.index(nodes));
        let posts = usize::try_from(dice.between(APART_POSTS.0, APART_POSTS.1)).unwrap_or_default();
        self.replace(&mut dice, &[Action::PublicApart { node, other, posts }]);
        // What a copy does not know of is written anew: two blocks with one number.
        let node = dice.index(nodes);
        let post = Action::PublicPost { node, bytes: 0 };
        self.replace(&mut dice, &[Action::Copy { node }, post.clone(), Action::PutBack { node }, post]);
    }
}

impl Plan {
    /// Puts something in the place of posts to the group that follow each other. What comes last comes at once.
    fn replace(&mut self, dice: &mut Dice, actions: &[Action]) {
        let posts = self.steps.iter_mut().filter(|step| matches!(step.action, Action::Post { .. }));
        let mut posts: Vec<&mut Step> = posts.collect();
        let first = dice.index(posts.len().saturating_sub(actions.len()));
        for (step, action) in posts.iter_mut().skip(first).zip(actions) {
            step.action = action.clone();
        }
        let last = first.saturating_add(actions.len()).saturating_sub(1);
        if let Some(step) = posts.get_mut(last).filter(|_| actions.len() > 1) {
            step.wait_ms = 0;
        }
    }
}

/// The classes of one malicious peer. A stranger would be none with a class beside it that has to be a member.
fn classes(dice: &mut Dice, all: &[String]) -> String {
    let (mut strangers, mut members): (Vec<&str>, Vec<&str>) = Default::default();
    for name in all {
        let class = enemies::all().into_iter().find(|class| class.name == name.as_str());
        let stranger = class.is_some_and(|class| class.needs == Standing::Stranger);
        // A class that knows many tricks comes up as often as many classes that know one.
        let tricks = class.map_or(1, |class| (class.make)().tricks());
        let of = if stranger { &mut strangers } else { &mut members };
        of.extend(std::iter::repeat_n(name.as_str(), tricks));
    }
    let strange = members.is_empty() || (!strangers.is_empty() && dice.percent(STRANGERS_PERCENT));
    let of = if strange { strangers } else { members };
    let mut names: Vec<&str> = Vec::new();
    for _ in 0..CLASSES {
        names.extend(of.get(dice.index(of.len())).filter(|name| !names.contains(*name)));
    }
    names.join(&CLASSES_APART.to_string())
}

fn step(dice: &mut Dice, dials: &Dials, setting: &Setting, pace_ms: u64) -> Step {
    // Many things happen at once, some after a while.
    let wait_ms = match dice.below(10) {
        0..=3 => dice.below(8),
        4..=8 => dice.below(pace_ms),
        _ => dice.below(pace_ms.saturating_mul(8)),
    };
    let kind = dials.kind(dice);
    Step { wait_ms, action: action(dice, kind, setting) }
}

fn action(dice: &mut Dice, kind: Kind, setting: &Setting) -> Action {
    let nodes = setting.nodes;
    let node = dice.index(nodes);
    let other = node.saturating_add(1).saturating_add(dice.index(nodes.saturating_sub(1)));
    let other = other.checked_rem(nodes).unwrap_or_default();
    match kind {
        Kind::Post => {
            let bytes = if dice.percent(3) { dice.index(40_000) } else { dice.index(300) };
            Action::Post { node, bytes }
        }
        Kind::Read => Action::Read { node },
        Kind::Join => Action::Join { node },
        Kind::Frame => {
            let how = match dice.below(4) {
                0 => Mangle::Drop,
                1 => Mangle::Duplicate,
                2 => Mangle::Late(u16::try_from(dice.below(64)).unwrap_or_default()),
                _ => Mangle::Cut(u16::try_from(dice.below(1000)).unwrap_or_default()),
            };
            Action::Mangle { from: node, to: other, how }
        }
        Kind::Link if dice.percent(60) => Action::Break { a: node, b: other },
        Kind::Link => Action::HalfOpen { loses: node, keeps: other },
        Kind::Ways => match dice.below(10) {
            0 => Action::Partition(Partition::Split { mask: dice.below(u64::MAX) }),
            1 => Action::Partition(Partition::Isolate { node }),
            2 => Action::Partition(Partition::Ring),
            3..=6 => Action::Partition(Partition::Pair { a: node, b: other }),
            _ => Action::OneWay { from: node, to: other },
        },
        Kind::Mend if dice.percent(35) => Action::MendAll,
        Kind::Mend => Action::Mend { a: node, b: other },
        Kind::Crash => match dice.below(8) {
            0..=4 => Action::Kill { node, keep: dice.index(4) },
            5 | 6 => Action::CrashInRecovery { node, after_us: dice.below(40_000) },
            _ => Action::Leave { node, ms: dice.between(30_000, 3_600_000) },
        },
        Kind::Start => Action::Start { node },
        Kind::Disk => Action::FailCommit { node, after: dice.below(6), full: dice.percent(50) },
        Kind::Damage => {
            // One of those that have a disk: the last ones.
            let node = nodes.saturating_sub(1).saturating_sub(dice.index(setting.disks));
            let how = match dice.below(4) {
                0 | 1 => Damage::Flip { offset: dice.below(u64::MAX), bit: u32::try_from(dice.below(8)).unwrap_or(0) },
                2 => Damage::Swap { left: dice.below(u64::MAX), right: dice.below(u64::MAX) },
                _ => Damage::Cut { permille: u16::try_from(dice.below(1000)).unwrap_or(0) },
            };
            Action::Damage { node, how }
        }
        Kind::Copies if dice.percent(50) => Action::Copy { node },
        Kind::Copies => Action::PutBack { node },
        Kind::Pause => Action::Pause { node, ms: dice.between(10, 40_000) },
        Kind::Clock => match dice.below(6) {
            0 => Action::Freeze { node },
            1 => Action::Backwards { node },
            _ => {
                let off = i64::try_from(dice.below(2 * TEN_YEARS_MS)).unwrap_or_default();
                let years = i64::try_from(TEN_YEARS_MS).unwrap_or_default();
                Action::Skew { node, ms: off.saturating_sub(years) }
            }
        },
        Kind::Enemy => Action::Enemy { which: dice.index(setting.enemies.len()) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_one_plan() {
        let ranges = Ranges { nodes_min: 5, nodes_max: 12, enemies: vec!["one".to_owned(), "two".to_owned()] };
        let plans: Vec<Plan> = (0..200).map(|seed| Plan::drawn(seed, &ranges)).collect();
        assert_eq!(plans, (0..200).map(|seed| Plan::drawn(seed, &ranges)).collect::<Vec<_>>());
        let (mut hostile, mut public) = (0, 0);
        for plan in &plans {
            let all = plan.setting.nodes + plan.setting.enemies.len();
            assert!((5..=12).contains(&all) && plan.setting.nodes >= 2, "{:?}", plan.setting);
            assert!(plan.setting.members >= 1 && plan.setting.members <= plan.setting.nodes);
            assert_eq!(plan.steps.len(), STEPS);
            assert_eq!(plan.to_string().parse::<Plan>().expect("a plan"), *plan);
            let posts = plan.steps.iter().filter(|step| matches!(step.action, Action::PublicPost { .. })).count();
            assert_eq!(posts > 0, plan.setting.public, "a public chain is posted to");
            public += usize::from(plan.setting.public);
            hostile += usize::from(!plan.setting.enemies.is_empty());
        }
        assert!(hostile >= 80, "{hostile} of 200 have malicious peers");
        assert!((40..=100).contains(&public), "{public} of 200 have a public chain");
    }
}
