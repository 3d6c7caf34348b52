/** Numbers that follow from a seed (Park and Miller, "Random number generators: good ones are hard to find", 1988). */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = (Math.abs(Math.trunc(seed)) % 2_147_483_646) + 1;
    this.below(2); // small seeds differ little in their first number
  }

  /** 0 to below n */
  below(n: number): number {
    this.#state = (this.#state * 48_271) % 2_147_483_647;
    return Math.floor((this.#state / 2_147_483_647) * n);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}
