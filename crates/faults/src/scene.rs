//! One run: a topic of its own, publishers, groups of listeners, and in the end the evidence.
//!
//! Every scene has its control beside the rest: a publisher and a group with seeded bugs. They must
//! make each counter fire, in the same run and on the same topic; else the counters prove nothing.

use std::{
    collections::BTreeMap,
    env, fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use kafka_testkit::unique;

use crate::{
    checker::{Dispatches, Logged, Mode, Sends, check_group, check_sends},
    cluster::{Cluster, GroupView},
    job::{Job, Listening, Publishing},
    journal::{MemberLine, SendLine, read_member, read_sends},
    publisher::key,
    role::Role,
};

/// Longest time without progress once everything is healed.
pub(crate) const HANG: Duration = Duration::from_secs(60);
/// Longest wait for an orderly end beyond what the role itself gives up after.
const END: Duration = Duration::from_secs(30);

/// Where groups start, unless a test says otherwise.
const RESET: &str = "auto_offset_reset=earliest";

pub(crate) struct Scene<'c> {
    pub(crate) cluster: &'c mut Cluster,
    /// Without the priority.
    base: String,
    pub(crate) partitions: i32,
    /// What the members that start from now on give their orderly end.
    pub(crate) close_seconds: u64,
    /// Where roles connect to.
    entrance: String,
    folder: PathBuf,
    pub(crate) publishers: Vec<Role>,
    control_publishers: Vec<u32>,
    publisher_journals: Vec<PathBuf>,
    next_publisher: u32,
    pub(crate) groups: Vec<Group>,
    /// Publishers that were ended by force have sends without a report.
    all_ended: bool,
    pub(crate) hung: u64,
}

/// How publishers send.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    pub(crate) per_second: u32,
    pub(crate) count: u64,
    pub(crate) close_seconds: u64,
    /// Each waits for its report before the next one is sent.
    pub(crate) one_by_one: bool,
}

impl Pace {
    pub(crate) const fn per_second(per_second: u32) -> Self {
        Self { per_second, count: 0, close_seconds: 180, one_by_one: false }
    }

    /// As fast as confirmations allow.
    pub(crate) const fn count(count: u64) -> Self {
        Self { count, ..Self::per_second(0) }
    }
}

/// Listeners of one name.
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) members: Vec<Role>,
    journals: Vec<PathBuf>,
    query: String,
    work_micros: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Judged(Mode),
    /// Of this library with seeded bugs.
    Seeded,
    /// Of this library, judged by its test: a setting of its own, or one that must lose.
    Known(&'static str, Mode),
    /// Of librdkafka alone.
    Naive,
}

impl Kind {
    pub(crate) fn mode(self) -> Mode {
        match self {
            Self::Judged(mode) | Self::Known(_, mode) => mode,
            Self::Seeded | Self::Naive => Mode::Amo,
        }
    }
}

/// What is known when a scene is over.
pub(crate) struct Evidence {
    pub(crate) sends: Sends,
    pub(crate) control_sends: Option<Sends>,
    pub(crate) groups: Vec<(Kind, Dispatches)>,
    pub(crate) hung: u64,
    /// Journals and logs of the roles.
    pub(crate) folder: PathBuf,
    pub(crate) log: Vec<Logged>,
    pub(crate) send_lines: Vec<SendLine>,
    pub(crate) member_lines: Vec<Vec<Vec<MemberLine>>>,
}

impl<'c> Scene<'c> {
    pub(crate) fn new(cluster: &'c mut Cluster, partitions: i32) -> Self {
        let base = unique("faults");
        let folder = env::temp_dir().join(&base);
        fs::create_dir(&folder).expect("the temporary folder can be written");
        cluster.make_topic(&format!("{base}.info"), partitions);
        Self {
            entrance: cluster.url(),
            cluster,
            base,
            partitions,
            close_seconds: 60,
            folder,
            publishers: Vec::new(),
            control_publishers: Vec::new(),
            publisher_journals: Vec::new(),
            next_publisher: 0,
            groups: Vec::new(),
            all_ended: true,
            hung: 0,
        }
    }

    /// Lets the roles that are started from now on connect to another place.
    pub(crate) fn enter_at(&mut self, entrance: String) {
        self.entrance = entrance;
    }

    pub(crate) fn topic(&self) -> String {
        format!("{}.info", self.base)
    }

    pub(crate) fn folder(&self) -> &PathBuf {
        &self.folder
    }

    /// The usual scene: two members in a group of each mode, a seeded group, all of them ready; then
    /// four publishers of 50 records a second, and a seeded one.
    pub(crate) fn usual(cluster: &'c mut Cluster, send_query: &str, listen_query: &str) -> Self {
        let mut scene = Self::new(cluster, 4);
        scene.fill(send_query, listen_query);
        scene
    }

    /// Starts the roles of the usual scene.
    pub(crate) fn fill(&mut self, send_query: &str, listen_query: &str) {
        self.group(Kind::Judged(Mode::Amo), listen_query, 0, 2);
        self.group(Kind::Judged(Mode::Alo), listen_query, 0, 2);
        self.group(Kind::Seeded, listen_query, 0, 1);
        self.wait_ready();
        self.publish(4, send_query, &Pace::per_second(50), false);
        self.publish(1, send_query, &Pace::per_second(50), true);
        self.wait_sends(20);
    }

    /// Starts publishers whose keys are spread over the partitions.
    pub(crate) fn publish(
        &mut self,
        count: usize,
        query: &str,
        pace: &Pace,
        bug: bool,
    ) -> Vec<u32> {
        let mut ids = Vec::new();
        for n in 0..count {
            let wanted = u32::try_from(n as i32 % self.partitions).unwrap_or(0);
            let partitions = self.partitions.unsigned_abs();
            // librdkafka's partitioner for keys.
            let id = (self.next_publisher + 1..)
                .find(|id| crc32fast::hash(key(*id).as_bytes()) % partitions == wanted)
                .expect("some number has this remainder");
            self.next_publisher = id;
            let journal = self.folder.join(format!("publisher-{id}"));
            let job = Job::Publisher(Publishing {
                url: self.url(&format!("message_key=payload:pub&{query}")),
                topic: self.base.clone(),
                journal: journal.clone(),
                id,
                per_second: pace.per_second,
                count: pace.count,
                close_seconds: pace.close_seconds,
                one_by_one: pace.one_by_one,
                bug,
            });
            self.publishers.push(Role::start(&job, &journal));
            self.publisher_journals.push(journal);
            ids.push(id);
            if bug {
                self.control_publishers.push(id);
            }
        }
        ids
    }

    /// Adds a group and starts its members.
    pub(crate) fn group(&mut self, kind: Kind, query: &str, work_micros: u64, members: usize) {
        let name = unique("group");
        let journals = Vec::new();
        let query = query.to_owned();
        let group = Group { name, kind, members: Vec::new(), journals, query, work_micros };
        self.groups.push(group);
        (0..members).for_each(|_| self.join(self.groups.len() - 1, ""));
    }

    /// Starts one more member of a group.
    pub(crate) fn join(&mut self, group: usize, query: &str) {
        let (base, folder) = (self.base.clone(), self.folder.clone());
        let of = &self.groups[group];
        let commit = match of.kind.mode() {
            Mode::Amo => "before_dispatch",
            Mode::Alo => "after_dispatch",
        };
        let reset = if of.query.contains("auto_offset_reset") { "" } else { RESET };
        let url = self.url(&format!("{reset}&commit={commit}&{}&{query}", of.query));
        let of = &mut self.groups[group];
        let journal = folder.join(format!("group-{group}-member-{}", of.journals.len()));
        let job = Listening {
            url,
            topic: base,
            group: of.name.clone(),
            journal: journal.clone(),
            work_micros: of.work_micros,
            close_seconds: self.close_seconds,
            bug: of.kind == Kind::Seeded,
        };
        let job = if of.kind == Kind::Naive { Job::Naive(job) } else { Job::Listener(job) };
        of.members.push(Role::start(&job, &journal));
        of.journals.push(journal);
    }

    fn url(&self, query: &str) -> String {
        let query: Vec<&str> = query.split('&').filter(|part| !part.is_empty()).collect();
        format!("{}?{}", self.entrance, query.join("&"))
    }

    /// Waits until every group has all partitions.
    pub(crate) fn wait_ready(&mut self) {
        let partitions = usize::try_from(self.partitions).unwrap_or(0);
        let until = Instant::now() + HANG;
        for group in &mut self.groups {
            if group.kind == Kind::Naive {
                let ready = group.members.iter_mut().all(|m| m.wait_for(HANG, |m| m.assigned > 0));
                assert!(ready, "a bare consumer got no partitions");
                continue;
            }
            loop {
                group.members.iter_mut().for_each(Role::look);
                let owned: usize = group.members.iter().map(|member| member.owned.len()).sum();
                let all_have = group.members.len() > partitions
                    || group.members.iter().all(|member| !member.owned.is_empty());
                if owned == partitions && all_have {
                    break;
                }
                assert!(Instant::now() < until, "{:?}: {owned} partitions are owned", group.kind);
                thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// Waits until each publisher has sent so many more.
    pub(crate) fn wait_sends(&mut self, more: u64) {
        for publisher in &mut self.publishers {
            publisher.look();
            let goal = publisher.sends + more;
            let sent = publisher.wait_for(HANG, |role| role.sends >= goal);
            assert!(sent || publisher.exited().is_some(), "a publisher does not send");
        }
    }

    /// Waits until so many more sends of each publisher were confirmed.
    pub(crate) fn wait_delivered(&mut self, more: u64, limit: Duration) -> bool {
        self.publishers.iter_mut().all(|publisher| {
            publisher.look();
            let goal = publisher.delivered + more;
            publisher.wait_for(limit, |role| role.delivered >= goal)
        })
    }

    /// Waits until each group has dispatched so many more.
    pub(crate) fn wait_dispatched(&mut self, more: u64, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        self.groups.iter_mut().all(|group| {
            let mut begun = || {
                group.members.iter_mut().for_each(Role::look);
                group.members.iter().map(|member| member.begun).sum::<u64>()
            };
            let goal = begun() + more;
            while begun() < goal {
                if Instant::now() >= until {
                    return false;
                }
                thread::sleep(Duration::from_millis(50));
            }
            true
        })
    }

    /// Ends the publishers in order.
    pub(crate) fn end_publishers(&mut self, limit: Duration) {
        self.publishers.iter().for_each(Role::tell_to_stop);
        for publisher in &mut self.publishers {
            self.all_ended &= publisher.end(limit) && publisher.ended.is_some_and(|c| c >= 0);
        }
    }

    /// Waits until every group has committed everything, and counts the groups that stand still.
    pub(crate) fn wait_drained(&mut self) {
        let topic = self.topic();
        let ends = self.cluster.ends(&topic);
        let partitions: Vec<i32> = ends.keys().copied().collect();
        for group in self.groups.iter().filter(|group| group.kind != Kind::Naive) {
            let view: GroupView = self.cluster.group(&group.name);
            let (mut best, mut since) = (0, Instant::now());
            loop {
                let committed = view.committed(&topic, &partitions).unwrap_or_default();
                let behind = |(partition, (first, next)): (&i32, &(i64, i64))| {
                    first < next && committed.get(partition).is_none_or(|offset| offset < next)
                };
                if !ends.iter().any(behind) {
                    break;
                }
                let sum: i64 = committed.values().sum();
                if sum > best {
                    (best, since) = (sum, Instant::now());
                }
                if since.elapsed() > HANG {
                    eprintln!("{:?} stands still: {committed:?} of {ends:?}", group.kind);
                    self.hung += 1;
                    break;
                }
                thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// Ends the members of all groups in order; one that does not end in time has hung.
    pub(crate) fn end_groups(&mut self) {
        let members = || self.groups.iter().flat_map(|group| &group.members);
        members().for_each(Role::tell_to_stop);
        for group in &mut self.groups {
            let limit = Duration::from_secs(self.close_seconds) + END;
            for member in &mut group.members {
                if !member.end(limit) {
                    eprintln!("{:?}: a member did not end", group.kind);
                    self.hung += 1;
                }
            }
        }
    }

    /// Heals, lets all groups come to the end of the topic, ends everything and judges it.
    pub(crate) fn finish(mut self) -> Evidence {
        self.cluster.heal();
        self.end_publishers(Duration::from_secs(180) + END);
        self.wait_drained();
        self.end_groups();
        self.evidence()
    }

    /// What the journals and the topic say. Its folder goes when the test has passed.
    pub(crate) fn evidence(self) -> Evidence {
        let log = self.cluster.read_all(&self.topic());
        let send_lines = read_sends(&self.publisher_journals);
        let controls = &self.control_publishers;
        let sends = check_sends(&send_lines, &log, |id| !controls.contains(&id), self.all_ended);
        let control = || check_sends(&send_lines, &log, |id| controls.contains(&id), true);
        let member_lines: Vec<Vec<Vec<MemberLine>>> = self
            .groups
            .iter()
            .map(|group| group.journals.iter().map(|path| read_member(path)).collect())
            .collect();
        let groups = self
            .groups
            .iter()
            .zip(&member_lines)
            .map(|(group, lines)| (group.kind, check_group(group.kind.mode(), lines, &log)))
            .collect();
        Evidence {
            sends,
            control_sends: (!controls.is_empty()).then(control),
            groups,
            hung: self.hung,
            folder: self.folder,
            log,
            send_lines,
            member_lines,
        }
    }

    /// Where the leaders are, by partition.
    pub(crate) fn leaders(&self) -> BTreeMap<i32, u32> {
        self.cluster.leaders(&self.topic())
    }
}
