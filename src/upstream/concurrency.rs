//! The concurrency limiter: bounds the requests in flight to upstream, and queues calls fairly.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::oneshot, time::sleep};

/// Bounds of the concurrency limiter.
#[derive(Debug, Clone, Copy)]
pub struct ConcurrencyConfig {
    /// Requests in flight.
    pub requests: usize,
    /// Queue length: calls that wait for a permit.
    pub queue: usize,
    /// The fraction of the permits that one caller may hold, above 0 and up to 1: a permit cannot be
    /// taken back when another caller comes.
    pub caller_share: f64,
}

/// A concurrency limiter with a fair, work-conserving queue.
///
/// A free permit goes to the waiter whose caller holds the fewest, first come, first served. While
/// nobody else wants it, one caller may fill the whole queue; when it is full, a newcomer displaces
/// the newest waiter of the caller that uses the most.
#[derive(Debug)]
pub(super) struct ConcurrencyLimiter {
    config: ConcurrencyConfig,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    acquired: usize,
    callers: HashMap<Arc<str>, Usage>,
    queue: VecDeque<Waiter>,
    next_id: u64,
}

#[derive(Debug, Default)]
struct Usage {
    acquired: usize,
    waiting: usize,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    caller: Arc<str>,
    granted: oneshot::Sender<Permit>,
}

/// Permission to have one request in flight. Dropping it releases it.
#[derive(Debug)]
pub struct Permit {
    limiter: Arc<ConcurrencyLimiter>,
    caller: Arc<str>,
    /// The aborted connections; the permit cools down for each.
    aborted: AtomicU32,
    /// Whether dropping it grants permits to waiters; false while `grant` is already doing so.
    grants_on_drop: bool,
}

/// The queue is full, or another caller has displaced the waiter.
#[derive(Debug)]
pub(super) struct Overloaded;

impl ConcurrencyLimiter {
    pub(super) fn new(config: ConcurrencyConfig) -> Arc<Self> {
        Arc::new(Self {
            config,
            state: Mutex::default(),
        })
    }

    /// Acquires a permit, waiting in the queue if none is free. Dropping the future leaves the
    /// queue.
    pub(super) async fn acquire(self: &Arc<Self>, caller: &Arc<str>) -> Result<Permit, Overloaded> {
        let (id, granted) = {
            let mut state = self.state.lock();
            let usage = state.callers.get(caller);
            let waiting = usage.map_or(0, |usage| usage.waiting);
            if waiting == 0 && state.may_acquire(caller, &self.config) {
                state.acquire(caller);
                return Ok(self.permit(caller));
            }
            if state.queue.len() >= self.config.queue && !state.displace_for(caller) {
                state.forget_if_idle(caller);
                return Err(Overloaded);
            }
            let (granted, receiver) = oneshot::channel();
            let id = state.next_id;
            state.next_id += 1;
            state.queue.push_back(Waiter {
                id,
                caller: Arc::clone(caller),
                granted,
            });
            state.usage(caller).waiting += 1;
            (id, receiver)
        };
        let _leave_on_drop = LeaveQueue { limiter: self, id };
        // The sender is dropped for a waiter that is displaced.
        granted.await.map_err(|_| Overloaded)
    }

    /// Returns how many permits are acquired, and how many calls wait for one.
    pub(super) fn figures(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.acquired, state.queue.len())
    }

    fn permit(self: &Arc<Self>, caller: &Arc<str>) -> Permit {
        Permit {
            limiter: Arc::clone(self),
            caller: Arc::clone(caller),
            aborted: AtomicU32::new(0),
            grants_on_drop: true,
        }
    }

    /// Returns the cooldown of a permit whose connection we aborted.
    ///
    /// An aborted connection holds its local port for a minute, and Linux has about 28,000 of
    /// them by default. Calls that are cancelled one after the other would use them all up, and
    /// no connection could be made any more. With the cooldown all permits together stay below
    /// that rate.
    fn cooldown(&self) -> Duration {
        const PER_CONNECTION: Duration = Duration::from_micros(60_000_000 / 28_000);
        PER_CONNECTION.saturating_mul(u32::try_from(self.config.requests).unwrap_or(u32::MAX))
    }

    /// Grants free permits to waiters. A permit whose waiter is gone goes to the next one.
    fn grant(self: &Arc<Self>) {
        loop {
            let (permit, waiter) = {
                let mut state = self.state.lock();
                let next = state.next_waiter(&self.config);
                let Some(waiter) = next.and_then(|next| state.queue.remove(next)) else {
                    return;
                };
                state.usage(&waiter.caller).waiting -= 1;
                state.acquire(&waiter.caller);
                (self.permit(&waiter.caller), waiter)
            };
            // Dropping a returned permit takes the lock, so it happens after the lock is released.
            if let Err(mut permit) = waiter.granted.send(permit) {
                permit.grants_on_drop = false;
            }
        }
    }
}

/// Returns the fraction of a limit, at least one.
fn share(limit: usize, fraction: f64) -> usize {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "limits are small, and the fraction is between 0 and 1"
    )]
    let share = (limit as f64 * fraction) as usize;
    share.clamp(1, limit.max(1))
}

impl State {
    fn usage(&mut self, caller: &Arc<str>) -> &mut Usage {
        self.callers.entry(Arc::clone(caller)).or_default()
    }

    fn may_acquire(&self, caller: &Arc<str>, config: &ConcurrencyConfig) -> bool {
        let own = self.callers.get(caller).map_or(0, |usage| usage.acquired);
        self.acquired < config.requests && own < share(config.requests, config.caller_share)
    }

    /// Returns the position of the waiter that gets the next permit, if one is free.
    fn next_waiter(&self, config: &ConcurrencyConfig) -> Option<usize> {
        let waiters = self.queue.iter().enumerate();
        waiters
            .filter(|(_, waiter)| self.may_acquire(&waiter.caller, config))
            // The first one of those with the least.
            .min_by_key(|(_, waiter)| self.callers.get(&waiter.caller).map(|usage| usage.acquired))
            .map(|(position, _)| position)
    }

    /// Removes the newest waiter of the caller that uses the most, unless the newcomer would then
    /// use as much. Returns whether there is space for the newcomer now.
    fn displace_for(&mut self, newcomer: &Arc<str>) -> bool {
        let uses = |usage: &Usage| usage.acquired + usage.waiting;
        let own = self.callers.get(newcomer).map_or(0, uses);
        let biggest = self
            .callers
            .iter()
            .filter(|(_, usage)| usage.waiting > 0)
            .max_by_key(|(_, usage)| uses(usage));
        let Some((biggest, usage)) = biggest else {
            return false;
        };
        if uses(usage) < own + 2 {
            return false;
        }
        let biggest = Arc::clone(biggest);
        let newest = self.queue.iter().rposition(|it| it.caller == biggest);
        if newest
            .and_then(|newest| self.queue.remove(newest))
            .is_none()
        {
            return false;
        }
        self.usage(&biggest).waiting -= 1;
        self.forget_if_idle(&biggest);
        true
    }

    fn acquire(&mut self, caller: &Arc<str>) {
        self.acquired += 1;
        self.usage(caller).acquired += 1;
    }

    fn release(&mut self, caller: &Arc<str>) {
        self.acquired -= 1;
        self.usage(caller).acquired -= 1;
        self.forget_if_idle(caller);
    }

    /// Drops the entry of a caller without permits and waiters, so that the map stays small.
    fn forget_if_idle(&mut self, caller: &Arc<str>) {
        if self
            .callers
            .get(caller)
            .is_some_and(|usage| usage.acquired == 0 && usage.waiting == 0)
        {
            self.callers.remove(caller);
        }
    }
}

impl Permit {
    /// Records that a request is sent under this permit.
    pub(super) fn send(&self) -> InFlight<'_> {
        InFlight(Some(self))
    }
}

/// A request in flight under a permit. Dropping it aborts the connection of the request.
pub(super) struct InFlight<'a>(Option<&'a Permit>);

impl InFlight<'_> {
    /// Records that the connection is kept, or was closed by upstream.
    pub(super) fn end(mut self) {
        self.0 = None;
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.0 {
            permit.aborted.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let aborted = *self.aborted.get_mut();
        if aborted > 0 {
            let permit = self.limiter.permit(&self.caller);
            // Without a runtime there are no requests in flight.
            if let Ok(runtime) = Handle::try_current() {
                runtime.spawn(async move {
                    sleep(permit.limiter.cooldown() * aborted).await;
                    drop(permit);
                });
            }
            return;
        }
        self.limiter.state.lock().release(&self.caller);
        if self.grants_on_drop {
            self.limiter.grant();
        }
    }
}

/// Removes a waiter from the queue if it goes before a permit is granted.
struct LeaveQueue<'a> {
    limiter: &'a Arc<ConcurrencyLimiter>,
    id: u64,
}

impl Drop for LeaveQueue<'_> {
    fn drop(&mut self) {
        let mut state = self.limiter.state.lock();
        let index = state.queue.iter().position(|waiter| waiter.id == self.id);
        if let Some(waiter) = index.and_then(|index| state.queue.remove(index)) {
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

    fn limiter(requests: usize, queue: usize, caller_share: f64) -> Arc<ConcurrencyLimiter> {
        ConcurrencyLimiter::new(ConcurrencyConfig {
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
    fn permits_are_granted_first_come_first_served() {
        let limiter = limiter(1, 2, 1.0);
        let (a, b) = (caller("a"), caller("b"));
        let first = poll(&mut pin!(limiter.acquire(&a))).unwrap().unwrap();
        let mut second = pin!(limiter.acquire(&b));
        let mut third = pin!(limiter.acquire(&a));
        assert!(poll(&mut second).is_none() && poll(&mut third).is_none());
        assert!(matches!(
            poll(&mut pin!(limiter.acquire(&b))),
            Some(Err(Overloaded))
        ));
        drop(first);
        assert!(poll(&mut third).is_none());
        let second = poll(&mut second).unwrap().unwrap();
        drop(second);
        drop(poll(&mut third).unwrap().unwrap());
        let state = limiter.state.lock();
        assert!(state.callers.is_empty() && state.queue.is_empty() && state.acquired == 0);
    }

    #[test]
    fn one_caller_may_fill_the_queue_and_not_hold_every_permit() {
        let limiter = limiter(8, 4, 0.875);
        let (storm, other) = (caller("storm"), caller("other"));
        let mut taken: Vec<_> = (0..7)
            .map(|_| poll(&mut pin!(limiter.acquire(&storm))).unwrap().unwrap())
            .collect();
        let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(limiter.acquire(&storm))).collect();
        for waiter in &mut waiting {
            assert!(poll(&mut waiter.as_mut()).is_none());
        }
        assert!(poll(&mut pin!(limiter.acquire(&storm))).unwrap().is_err());
        // The last permit is free for others, past the queue of the storm.
        let others = poll(&mut pin!(limiter.acquire(&other))).unwrap().unwrap();
        // And the queue is, at the cost of the newest waiter of the storm.
        let mut newcomer = pin!(limiter.acquire(&other));
        assert!(poll(&mut newcomer).is_none());
        assert!(poll(&mut waiting[3].as_mut()).unwrap().is_err());
        assert!(poll(&mut waiting[2].as_mut()).is_none());
        // The next permit goes to who has the fewest.
        drop(taken.pop());
        let granted = poll(&mut newcomer).unwrap().unwrap();
        assert!(poll(&mut waiting[0].as_mut()).is_none());
        drop((granted, others, taken));
        for waiter in &mut waiting[..3] {
            drop(poll(&mut waiter.as_mut()).unwrap().unwrap());
        }
        assert!(limiter.state.lock().callers.is_empty());
    }

    #[test]
    fn a_newcomer_that_would_use_as_much_displaces_nobody() {
        let limiter = limiter(1, 2, 1.0);
        let (a, b) = (caller("a"), caller("b"));
        let held = poll(&mut pin!(limiter.acquire(&a))).unwrap().unwrap();
        let mut first = pin!(limiter.acquire(&a));
        let mut second = pin!(limiter.acquire(&b));
        assert!(poll(&mut first).is_none() && poll(&mut second).is_none());
        // b would use two as well then.
        assert!(poll(&mut pin!(limiter.acquire(&b))).unwrap().is_err());
        assert!(poll(&mut pin!(limiter.acquire(&a))).unwrap().is_err());
        // c has nothing yet.
        let c = caller("c");
        let mut third = pin!(limiter.acquire(&c));
        assert!(poll(&mut third).is_none());
        assert!(poll(&mut first).unwrap().is_err());
        drop(held);
        drop(poll(&mut second).unwrap().unwrap());
        drop(poll(&mut third).unwrap().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_whose_connection_was_aborted_cools_down_before_it_is_granted_again() {
        let limiter = limiter(64, 1, 1.0);
        let a = caller("a");
        let acquire = || poll(&mut pin!(limiter.acquire(&a)));
        let mut permits: Vec<_> = (0..64).map(|_| acquire().unwrap().unwrap()).collect();
        let (done, cut) = (permits.remove(0), permits.remove(0));
        done.send().end();
        drop(done);
        let again = acquire().unwrap().unwrap();
        drop(cut.send());
        drop(cut);
        let start = tokio::time::Instant::now();
        let cooled = limiter.acquire(&a).await.unwrap();
        // 64 permits that all do this abort 468 connections a second.
        assert!((136..=138).contains(&start.elapsed().as_millis()));
        drop((again, cooled, permits));
        let state = limiter.state.lock();
        assert!(state.callers.is_empty() && state.acquired == 0);
    }

    #[test]
    fn a_dropped_waiter_leaves_the_queue_and_releases_what_it_was_granted() {
        let limiter = limiter(1, 2, 1.0);
        let a = caller("a");
        let first = poll(&mut pin!(limiter.acquire(&a))).unwrap().unwrap();
        {
            let mut gone = pin!(limiter.acquire(&a));
            assert!(poll(&mut gone).is_none());
        }
        assert!(limiter.state.lock().queue.is_empty());
        let mut granted_but_gone = Box::pin(limiter.acquire(&a));
        let mut last = pin!(limiter.acquire(&a));
        assert!(poll(&mut granted_but_gone.as_mut()).is_none() && poll(&mut last).is_none());
        drop(first);
        drop(granted_but_gone);
        assert!(poll(&mut last).unwrap().is_ok());
    }
}
