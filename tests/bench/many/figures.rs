//! The figures of the many, and how they read in the table.

use anyhow::Result;

use super::ALL;
use crate::{
    cost::{Cost, Costs, Whose},
    floor::Floor,
    node,
    table::Table,
};

/// So many single deletions are measured, and scaled to all.
const DELETIONS: usize = 150;

/// Round by round; each is for all links.
#[derive(Default)]
pub struct Figures {
    pub add: Costs,
    pub change: Costs,
    pub remove: Costs,
    pub floor: Costs,
    pub parse: Costs,
    pub write: Costs,
}

impl Figures {
    pub fn show(&self, table: &mut Table, single: Cost) {
        let single = Costs(vec![single; self.remove.0.len()]);
        self.rows(table, &single);
        let (add, sum) = (&self.add, self.sum());
        table.bar("add all, CPU to the floor sum", 1.5, add.cpu_to(&sum));
        table.bar("add all, wall to the floor sum", 1.5, add.wall_to(&sum));
        table.bar(
            "remove all, wall to single deletions",
            0.1,
            self.remove.wall_to(&single),
        );
    }

    /// Reports are written behind the links, on a thread of their own: no part of the wait.
    fn sum(&self) -> Costs {
        let behind = self.write.0.iter().map(|cost| Cost { wall: 0.0, ..*cost });
        self.floor.plus(&self.parse).plus(&Costs(behind.collect()))
    }

    fn rows(&self, table: &mut Table, single: &Costs) {
        let Self {
            add,
            change,
            remove,
            floor,
            parse,
            write,
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
        table.row("  400 reports, written (CPU in both)", write.median());
        table.row_to(
            "change MTU and address of all",
            change.median(),
            Some(change.cpu_to(add)),
            "of add",
        );
        table.row_to(
            "remove all",
            remove.median(),
            Some(remove.cpu_to(single)),
            "of single",
        );
        table.row(
            &format!("{ALL} single deletions ({DELETIONS} measured, scaled)"),
            single.median(),
        );
        table.note(format!(
            "one link by hand, of these: {:.0} us of CPU",
            floor.median().cpu / ALL as f64
        ));
    }
}

/// One message a link, as somebody does who thinks of one link at a time.
pub fn single_deletions(floor: &Floor, hosts: &[u32]) -> Result<Cost> {
    let few = &hosts[..DELETIONS];
    let (cost, ()) = node::within("hub", || {
        Whose::Thread.cost(|| few.iter().try_for_each(|host| floor.delete(*host)))
    })?;
    let scale = ALL as f64 / DELETIONS as f64;
    Ok(Cost {
        cpu: cost.cpu * scale,
        wall: cost.wall * scale,
    })
}
