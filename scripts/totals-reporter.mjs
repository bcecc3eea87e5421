/** Mocha's `spec` reporter, which also writes how many tests passed and failed to the file that `totals` names. */
import { writeFileSync } from 'node:fs'
import Mocha from 'mocha'

export default class TotalsReporter extends Mocha.reporters.Spec {
  constructor(runner, options) {
    super(runner, options)
    const { totals } = options.reporterOptions ?? {}
    runner.once(Mocha.Runner.constants.EVENT_RUN_END, () => {
      const { tests, passes, pending, failures } = this.stats
      if (totals !== undefined) writeFileSync(totals, JSON.stringify({ tests, passes, pending, failures }))
    })
  }
}
