//! The figures of the many, and how they read in the table.

use anyhow::Result;

use super::ALL;
use crate::{
    cost::{Cost, Costs, Whose},
    floor::Floor,
    node,
    table::Table,
};

/// So many links are deleted one by one in each round: all of them would take too long.
pub const DELETIONS: usize = 50;

/// Round by round; each is for all links.
#[derive(Default)]
pub struct Figures {
    pub add: Costs,
    pub change: Costs,
    pub remove: Costs,
    pub floor: Costs,
    pub parse: Costs,
    pub write: Costs,
    pub restart: Costs,
    /// From SIGTERM on.
    pub end: Costs,
    pub sent_by_restart: f64,
    /// For one link, each the median of its round.
    pub single: Costs,
}

impl Figures {
    pub fn show(&self, table: &mut Table) {
        self.rows(table);
        let (add, sum) = (&self.add, self.sum());
        table.bar("add all, CPU to the floor sum", 1.5, add.cpu_to(&sum));
        table.bar("add all, wall to the floor sum", 1.5, add.wall_to(&sum));
        table.bar(
            "remove all, wall per link to one deleted by itself",
            0.1,
            self.removed_each().wall_to(&self.single),
        );
        table.judge(
            "restart sends no changing message",
            &format!("{} sent", self.sent_by_restart),
            self.sent_by_restart == 0.0,
        );
    }

    /// Reports are written behind the links, on a thread of their own: no part of the wait.
    fn sum(&self) -> Costs {
        let behind = self.write.0.iter().map(|cost| Cost { wall: 0.0, ..*cost });
        self.floor.plus(&self.parse).plus(&Costs(behind.collect()))
    }

    fn removed_each(&self) -> Costs {
        self.remove.times(1.0 / ALL as f64)
    }

    fn rows(&self, table: &mut Table) {
        let Self {
            add,
            change,
            remove,
            floor,
            parse,
            write,
            restart,
            end,
            single,
            ..
        } = self;
        let (of_sum, of_floor) = (Some(add.cpu_to(&self.sum())), Some(add.cpu_to(floor)));
        table.row_to(
            "add all, rename to reports written",
            add.median(),
            of_sum,
            "floor sum",
        );
        table.row("floor sum: messages, parse, reports", self.sum().median());
        table.row_to("  messages by hand", floor.median(), of_floor, "is add");
        table.row("  parse and admit of 200 (in both sums)", parse.median());
        table.row(
            "  400 reports, in words and written (CPU in both)",
            write.median(),
        );
        table.row_to(
            "change MTU and address of all",
            change.median(),
            Some(change.cpu_to(add)),
            "of add",
        );
        table.row("remove all", remove.median());
        let each = self.removed_each();
        let of_single = Some(each.cpu_to(single));
        table.row_to("  for one link", each.median(), of_single, "of single");
        let rounds = self.remove.0.len();
        table.row(
            &format!("one link deleted by itself ({DELETIONS} in each of {rounds} rounds)"),
            single.median(),
        );
        table.row("restart with all links: until ready", restart.median());
        table.row("  the end after SIGTERM, before it", end.median());
        table.note(format!(
            "one link by hand, of these: {:.0} us of CPU",
            floor.median().cpu / ALL as f64
        ));
    }
}

/// One message a link, as somebody does who thinks of one link at a time.
pub fn single_deletions(floor: &Floor, hosts: &[u32]) -> Result<Costs> {
    let delete = |host: &u32| Ok(Whose::Thread.cost(|| floor.delete(*host))?.0);
    node::within("hub", || hosts.iter().map(delete).collect()).map(Costs)
}
