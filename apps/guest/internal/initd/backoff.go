package initd

import "time"

const (
	backoffFirst = 50 * time.Millisecond
	backoffMost  = 5 * time.Second
	// A child that lived this long was healthy: its end is not part of a crash loop.
	healthyAfter = 5 * time.Second
)

// backoff spaces restarts: at once after a healthy life, then doubling up to backoffMost.
type backoff struct{ next time.Duration }

// delayAfter returns how long to wait before the restart of a child that lived for a while.
func (b *backoff) delayAfter(lived time.Duration) time.Duration {
	if lived >= healthyAfter || b.next == 0 {
		b.next = backoffFirst
	}
	delay := b.next
	b.next = min(2*b.next, backoffMost)
	return delay
}
