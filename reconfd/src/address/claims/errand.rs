//! Pure: what is asked of the place where claims are kept, what it says, and how that ends. Who does the
//! asking is not known here.

use std::sync::Arc;

use crds::{AddressClaim, ClaimPod, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    doubt::Doubt,
    farewell::Farewell,
    paper::{Block, Name},
    wish::Wish,
};

/// One thing to ask.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Make this claim, if there is none of its name.
    Create(Arc<AddressClaim>),
    Get(Name),
    /// All claims with this owner's label.
    OfOwner {
        domain: String,
        owner: String,
    },
    /// All claims to addresses of a block.
    OfBlock {
        domain: String,
        block: Block,
    },
    /// Write this version, if the claim is still what its uid and resourceVersion say.
    Replace(Arc<AddressClaim>),
    /// Delete it, on the same condition.
    Delete(Arc<AddressClaim>),
    /// Whether this very pod is there: by a look at it, never from memory.
    LookUp(ClaimPod),
}

/// What was said.
#[derive(Clone, Debug)]
pub enum Told {
    /// The claim as it is now.
    Claim(Arc<AddressClaim>),
    /// It was deleted.
    Deleted,
    /// There is one of that name.
    Exists,
    Missing,
    /// Somebody else has written it meanwhile.
    Overtaken,
    Listed(Vec<Arc<AddressClaim>>, Time),
    PodIsThere,
    /// No such pod, another of its name, or one that has ended.
    PodIsGone,
    /// No answer, or one that says nothing: it may have been done or not.
    Failed(String),
}

impl Ask {
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Get(_) => "get",
            Self::OfOwner { .. } | Self::OfBlock { .. } => "list",
            Self::Replace(_) => "update",
            Self::Delete(_) => "delete",
            Self::LookUp(_) => "look",
        }
    }
}

impl Told {
    pub fn result(&self) -> &'static str {
        match self {
            Self::Exists | Self::Overtaken => "conflict",
            Self::Failed(_) => "failed",
            _ => "ok",
        }
    }
}

/// How an errand ended, for now.
#[derive(Clone, Debug)]
pub enum End {
    /// The claim stands, and is the asker's.
    Held(Arc<AddressClaim>),
    Refused(Reason, String),
    /// The address is another's, who is called so in words.
    Taken(Arc<AddressClaim>, String),
    /// The claim is given back.
    Rests(Arc<AddressClaim>),
    /// The claim is the successor's.
    HandedOver(Arc<AddressClaim>),
    /// The claim is not there any more, or is another's.
    Gone,
    PodIsThere,
    PodIsGone,
    /// To be tried again.
    Failed(String),
}

/// One after the other: what to ask next, and what follows from the answer.
#[derive(Clone, Debug)]
pub enum Errand {
    Wish(Box<Wish>),
    Farewell(Box<Farewell>),
    Doubt(Box<Doubt>),
}

impl Errand {
    pub fn next(&self) -> Ask {
        match self {
            Self::Wish(wish) => wish.next(),
            Self::Farewell(farewell) => farewell.next(),
            Self::Doubt(doubt) => doubt.next(),
        }
    }

    pub fn heard(&mut self, told: Told) -> Option<End> {
        match self {
            Self::Wish(wish) => wish.heard(told),
            Self::Farewell(farewell) => farewell.heard(told),
            Self::Doubt(doubt) => Some(doubt.heard(told)),
        }
    }

    /// The claim that it is about, if there is one already.
    pub fn claim(&self) -> Option<&Arc<AddressClaim>> {
        match self {
            Self::Wish(_) => None,
            Self::Farewell(farewell) => Some(farewell.claim()),
            Self::Doubt(doubt) => Some(doubt.claim()),
        }
    }

    /// The uid of a successor that was to have the claim and is not there.
    pub fn gone_successor(&self) -> Option<&str> {
        match self {
            Self::Farewell(farewell) => farewell.gone_successor(),
            Self::Wish(_) | Self::Doubt(_) => None,
        }
    }

    /// What it is about, in words.
    pub fn what(&self) -> String {
        match self {
            Self::Wish(wish) => wish.what(),
            Self::Farewell(farewell) => format!("give {} back", farewell.name()),
            Self::Doubt(doubt) => format!("look after {}", doubt.name()),
        }
    }
}
