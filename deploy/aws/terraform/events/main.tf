# A queue fed by an EventBridge rule, for service-events-all or sqs-cloudwatch-consumer (Security Hub),
# with its dead letter queue and an alarm on it.

terraform {
  required_version = ">= 1.3"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.0" }
  }
}

variable "name" {
  type        = string
  description = "Name of the queue"
}

variable "sources" {
  type        = list(string)
  default     = ["aws.securityhub"]
  description = "The event sources, e.g. aws.securityhub, or aws.cloudwatch, aws.health, aws.ec2"
}

variable "event_bus" {
  type        = string
  default     = "default"
  description = "The event bus"
}

variable "visibility_timeout" {
  type        = number
  default     = 300
  description = "Seconds; the collector extends it at half time"
}

variable "max_receive_count" {
  type        = number
  default     = 20
  description = "Receives before a message goes to the dead letter queue; an outage of Devo counts too"
}

variable "kms_key_arn" {
  type        = string
  default     = null
  description = "Encrypts the queue with this key instead of SQS's own"
}

variable "alarm_topic_arns" {
  type        = list(string)
  default     = []
  description = "Are told when something comes to the dead letter queue"
}

data "aws_region" "here" {}

module "queue" {
  source             = "../queue"
  name               = var.name
  sender             = "events.amazonaws.com"
  sender_arn         = aws_cloudwatch_event_rule.this.arn
  visibility_timeout = var.visibility_timeout
  max_receive_count  = var.max_receive_count
  kms_key_arn        = var.kms_key_arn
  alarm_topic_arns   = var.alarm_topic_arns
}

resource "aws_cloudwatch_event_rule" "this" {
  name           = var.name
  description    = "Events for the Devo collector"
  event_bus_name = var.event_bus
  event_pattern  = jsonencode({ source = var.sources })
}

resource "aws_cloudwatch_event_target" "this" {
  rule           = aws_cloudwatch_event_rule.this.name
  event_bus_name = var.event_bus
  arn            = module.queue.arn
}

output "queue_name" {
  value       = module.queue.name
  description = "For cloudwatch_sqs_queue_name"
}

output "queue_arn" {
  value       = module.queue.arn
  description = "For the roles module"
}

output "queue_url" {
  value       = module.queue.url
  description = "For queue_url, where the queue is another account's"
}

output "region" {
  value       = data.aws_region.here.name
  description = "For the service's regions"
}
