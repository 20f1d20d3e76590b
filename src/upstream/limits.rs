//! How many requests go upstream at once, and who waits for a place.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, sync::oneshot, time::sleep};

/// How many requests there may be.
#[derive(Debug, Clone, Copy)]
pub struct LimitsConfig {
    /// Requests at once.
    pub requests: usize,
    /// Calls that wait for a place.
    pub queue: usize,
    /// The part of both that one caller may take, above 0 and up to 1.
    pub caller_share: f64,
}

/// The places, and the queue for them: first come, first served, but for callers who have their
/// share already.
#[derive(Debug)]
pub(super) struct Limits {
    config: LimitsConfig,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    callers: HashMap<Arc<str>, Usage>,
    queue: VecDeque<Waiter>,
    tickets: u64,
}

#[derive(Debug, Default)]
struct Usage {
    taken: usize,
    waiting: usize,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    caller: Arc<str>,
    granted: oneshot::Sender<Place>,
}

/// The right to have one request under way, until it is dropped.
#[derive(Debug)]
pub struct Place {
    limits: Arc<Limits>,
    caller: Arc<str>,
    /// Whether a request is under way: dropping it then closes a connection.
    under_way: bool,
    /// Whether dropping it wakes those who wait; not where that is being done already.
    wakes: bool,
}

/// There is neither a place nor room to wait for one.
#[derive(Debug)]
pub(super) struct Overloaded;

impl Limits {
    pub(super) fn new(config: LimitsConfig) -> Arc<Self> {
        Arc::new(Self {
            config,
            state: Mutex::default(),
        })
    }

    /// Waits for a place. Dropping the future leaves the queue.
    pub(super) async fn enter(self: &Arc<Self>, caller: &Arc<str>) -> Result<Place, Overloaded> {
        let (ticket, granted) = {
            let mut state = self.state();
            let usage = state.callers.get(caller);
            let waiting = usage.map_or(0, |usage| usage.waiting);
            if waiting == 0 && state.may_take(caller, &self.config) {
                state.take(caller);
                return Ok(self.place(caller));
            }
            if state.queue.len() >= self.config.queue || waiting >= self.share(self.config.queue) {
                state.forget_if_idle(caller);
                return Err(Overloaded);
            }
            let (granted, receiver) = oneshot::channel();
            state.tickets += 1;
            let ticket = state.tickets;
            state.queue.push_back(Waiter {
                ticket,
                caller: Arc::clone(caller),
                granted,
            });
            state.usage(caller).waiting += 1;
            (ticket, receiver)
        };
        let _leaves = Leaves {
            limits: self,
            ticket,
        };
        // The sender is dropped only by `Leaves`.
        granted.await.map_err(|_| Overloaded)
    }

    fn share(&self, of: usize) -> usize {
        share(of, self.config.caller_share)
    }

    fn place(self: &Arc<Self>, caller: &Arc<str>) -> Place {
        Place {
            limits: Arc::clone(self),
            caller: Arc::clone(caller),
            under_way: false,
            wakes: true,
        }
    }

    /// How long a place rests after its connection was closed by us in mid-request.
    ///
    /// The closed connection keeps its local port for a minute, and there are some 28,000 (Linux's
    /// defaults). Calls that are cancelled at once, one after the other, would use them all up, and
    /// nobody could connect any more. So the places together cannot close more than these.
    fn rest(&self) -> Duration {
        const PER_CONNECTION: Duration = Duration::from_micros(60_000_000 / 28_000);
        PER_CONNECTION.saturating_mul(u32::try_from(self.config.requests).unwrap_or(u32::MAX))
    }

    /// Gives free places to those who wait. Places whose taker has gone come back here.
    fn grant(self: &Arc<Self>) {
        loop {
            let (place, waiter) = {
                let mut state = self.state();
                let next = state
                    .queue
                    .iter()
                    .position(|waiter| state.may_take(&waiter.caller, &self.config));
                let Some(waiter) = next.and_then(|next| state.queue.remove(next)) else {
                    return;
                };
                state.usage(&waiter.caller).waiting -= 1;
                state.take(&waiter.caller);
                (self.place(&waiter.caller), waiter)
            };
            // The lock is free again. Where the waiter has gone meanwhile, the place comes back, and
            // is given to the next.
            if let Err(mut place) = waiter.granted.send(place) {
                place.wakes = false;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn share(of: usize, part: f64) -> usize {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "limits are small, and the part is between 0 and 1"
    )]
    let share = (of as f64 * part) as usize;
    share.clamp(1, of.max(1))
}

impl State {
    fn usage(&mut self, caller: &Arc<str>) -> &mut Usage {
        self.callers.entry(Arc::clone(caller)).or_default()
    }

    fn may_take(&self, caller: &Arc<str>, config: &LimitsConfig) -> bool {
        let taken = self.callers.get(caller).map_or(0, |usage| usage.taken);
        self.taken < config.requests && taken < share(config.requests, config.caller_share)
    }

    fn take(&mut self, caller: &Arc<str>) {
        self.taken += 1;
        self.usage(caller).taken += 1;
    }

    fn give_back(&mut self, caller: &Arc<str>) {
        self.taken -= 1;
        self.usage(caller).taken -= 1;
        self.forget_if_idle(caller);
    }

    /// Callers come and go; only those who have or want something are kept.
    fn forget_if_idle(&mut self, caller: &Arc<str>) {
        if self
            .callers
            .get(caller)
            .is_some_and(|usage| usage.taken == 0 && usage.waiting == 0)
        {
            self.callers.remove(caller);
        }
    }
}

impl Place {
    /// Says whether a request is under way.
    pub(super) fn set_under_way(&mut self, under_way: bool) {
        self.under_way = under_way;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.under_way {
            let place = self.limits.place(&self.caller);
            // Without a runtime nothing can be under way any more.
            if let Ok(runtime) = Handle::try_current() {
                runtime.spawn(async move {
                    sleep(place.limits.rest()).await;
                    drop(place);
                });
            }
            return;
        }
        self.limits.state().give_back(&self.caller);
        if self.wakes {
            self.limits.grant();
        }
    }
}

/// Takes a waiter out of the queue who has gone before a place was granted.
struct Leaves<'a> {
    limits: &'a Arc<Limits>,
    ticket: u64,
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        let mut state = self.limits.state();
        let place = state
            .queue
            .iter()
            .position(|waiter| waiter.ticket == self.ticket);
        if let Some(waiter) = place.and_then(|place| state.queue.remove(place)) {
            state.usage(&waiter.caller).waiting -= 1;
            state.forget_if_idle(&waiter.caller);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::{Pin, pin},
        task::{Context, Poll, Waker},
    };

    use super::*;

    fn limits(requests: usize, queue: usize, caller_share: f64) -> Arc<Limits> {
        Limits::new(LimitsConfig {
            requests,
            queue,
            caller_share,
        })
    }

    fn poll<F: Future>(future: &mut Pin<&mut F>) -> Option<F::Output> {
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    fn caller(name: &str) -> Arc<str> {
        Arc::from(name)
    }

    #[test]
    fn places_are_given_in_the_order_of_coming() {
        let limits = limits(1, 2, 1.0);
        let (a, b) = (caller("a"), caller("b"));
        let first = poll(&mut pin!(limits.enter(&a))).unwrap().unwrap();
        let mut second = pin!(limits.enter(&b));
        let mut third = pin!(limits.enter(&a));
        assert!(poll(&mut second).is_none() && poll(&mut third).is_none());
        assert!(matches!(
            poll(&mut pin!(limits.enter(&b))),
            Some(Err(Overloaded))
        ));
        drop(first);
        assert!(poll(&mut third).is_none());
        let second = poll(&mut second).unwrap().unwrap();
        drop(second);
        drop(poll(&mut third).unwrap().unwrap());
        let state = limits.state();
        assert!(state.callers.is_empty() && state.queue.is_empty() && state.taken == 0);
    }

    #[test]
    fn one_caller_cannot_take_more_than_its_share_of_places_and_queue() {
        let limits = limits(4, 4, 0.5);
        let (storm, other) = (caller("storm"), caller("other"));
        let taken: Vec<_> = (0..2)
            .map(|_| poll(&mut pin!(limits.enter(&storm))).unwrap().unwrap())
            .collect();
        let mut third = pin!(limits.enter(&storm));
        let mut fourth = pin!(limits.enter(&storm));
        assert!(poll(&mut third).is_none() && poll(&mut fourth).is_none());
        assert!(matches!(
            poll(&mut pin!(limits.enter(&storm))),
            Some(Err(Overloaded))
        ));
        // The places that the storm cannot have are free for others, past its queue.
        let others: Vec<_> = (0..2)
            .map(|_| poll(&mut pin!(limits.enter(&other))).unwrap().unwrap())
            .collect();
        drop(others);
        assert!(poll(&mut third).is_none());
        drop(taken);
        assert!(poll(&mut third).unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_whose_connection_was_closed_rests_before_it_is_given_again() {
        let limits = limits(64, 1, 1.0);
        let a = caller("a");
        let enter = || poll(&mut pin!(limits.enter(&a)));
        let mut places: Vec<_> = (0..64).map(|_| enter().unwrap().unwrap()).collect();
        let (mut done, mut cut) = (places.remove(0), places.remove(0));
        done.set_under_way(true);
        done.set_under_way(false);
        drop(done);
        let again = enter().unwrap().unwrap();
        cut.set_under_way(true);
        drop(cut);
        let start = tokio::time::Instant::now();
        let rested = limits.enter(&a).await.unwrap();
        // 64 places that all do this close 468 connections a second.
        assert!((136..=138).contains(&start.elapsed().as_millis()));
        drop((again, rested, places));
        let state = limits.state();
        assert!(state.callers.is_empty() && state.taken == 0);
    }

    #[test]
    fn a_waiter_who_goes_leaves_the_queue_and_gives_back_what_was_granted() {
        let limits = limits(1, 2, 1.0);
        let a = caller("a");
        let first = poll(&mut pin!(limits.enter(&a))).unwrap().unwrap();
        {
            let mut gone = pin!(limits.enter(&a));
            assert!(poll(&mut gone).is_none());
        }
        assert!(limits.state().queue.is_empty());
        let mut granted_but_gone = Box::pin(limits.enter(&a));
        let mut last = pin!(limits.enter(&a));
        assert!(poll(&mut granted_but_gone.as_mut()).is_none() && poll(&mut last).is_none());
        drop(first);
        drop(granted_but_gone);
        assert!(poll(&mut last).unwrap().is_ok());
    }
}
