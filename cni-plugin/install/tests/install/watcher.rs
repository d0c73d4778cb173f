//! A `podconfig-install install --watch` under test.

use super::*;

/// A watcher that ends with its test.
pub struct Watcher(Child);

impl Watcher {
    pub fn start(node: &Node, more: &[&str]) -> Watcher {
        Watcher::spawn(node.command("install", more))
    }

    pub fn spawn(mut command: Command) -> Watcher {
        Watcher(
            command
                .arg("--watch")
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        )
    }

    /// Waits for something to become true, and tells how long it took.
    pub fn until(&mut self, what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
        let begin = Instant::now();
        while !is_so() {
            if let Some(status) = self.0.try_wait().unwrap() {
                panic!(
                    "the watcher ended with {status} before {what}: {}",
                    self.said()
                );
            }
            assert!(
                begin.elapsed() < Duration::from_secs(10),
                "{what} never came"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        begin.elapsed()
    }

    /// Tells it to end, as kubelet does.
    pub fn end(&mut self) -> (Option<i32>, Duration) {
        let begin = Instant::now();
        let killed = Command::new("kill")
            .arg(self.0.id().to_string())
            .status()
            .unwrap();
        assert!(killed.success());
        (self.0.wait().unwrap().code(), begin.elapsed())
    }

    pub fn ended(&mut self) -> (Option<i32>, String) {
        let begin = Instant::now();
        while self.0.try_wait().unwrap().is_none() {
            assert!(
                begin.elapsed() < Duration::from_secs(10),
                "the watcher never ends"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        (self.0.wait().unwrap().code(), self.said())
    }

    pub fn said(&mut self) -> String {
        let mut text = String::new();
        self.0
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        text
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
