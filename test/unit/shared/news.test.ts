import { expect, it } from "vitest";
import { News } from "../../../shared/news.ts";
import { FakeClock } from "../../support/fake-clock.ts";

it("the first of many is news, and one every 10 s after it", () => {
  const clock = new FakeClock();
  const news = new News({ clock });
  const told = () => [news.isNews(), news.isNews()];
  expect(told()).toEqual([true, false]);
  clock.advance(9_999);
  expect(told()).toEqual([false, false]);
  clock.advance(1);
  expect(told()).toEqual([true, false]);
});

it("what comes seldom is always news", () => {
  const clock = new FakeClock();
  const news = new News({ clock });
  for (let time = 0; time < 3; time++) {
    expect(news.isNews()).toBe(true);
    clock.advance(10_000);
  }
});
