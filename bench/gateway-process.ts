/** `tunstack gateway`, compiled with the benchmarks. */
import { gatewayCommand } from '../lib/cli/gateway-command.ts'

process.exitCode = await gatewayCommand(process.argv.slice(2))
